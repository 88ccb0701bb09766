"""Flips one operator or constant at a time in the formula modules and lists what no test notices.

python scripts/mutate.py [module.py ...]     exit status 1 when a mutant survives
"""

import ast
import copy
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
FORMULAS = ("rl/algorithms", "rl/limits", "rewards/length", "rewards/gates")
PACKAGES = ("data", "rewards", "rollout", "rl", "tests")
SWAPS: dict[type[Any], type[Any]] = {
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.Div,
    ast.Div: ast.Mult,
    ast.USub: ast.UAdd,
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.BitAnd: ast.BitOr,
    ast.BitOr: ast.BitAnd,
}
RENAMES = {"min": "max", "max": "min", "minimum": "maximum", "maximum": "minimum"}


def mutants(tree: ast.Module) -> Iterator[tuple[str, ast.Module]]:
    """Each mutant of `tree` with a line saying what was changed where."""
    decorators = {
        part
        for definition in ast.walk(tree)
        if isinstance(definition, ast.ClassDef | ast.FunctionDef)
        for decorator in definition.decorator_list
        for part in ast.walk(decorator)
    }
    for number, node in enumerate(ast.walk(tree)):
        if node in decorators:
            continue
        changed = copy.deepcopy(tree)
        twin: Any = list(ast.walk(changed))[number]
        what = mutate(twin)
        if what:
            yield f"line {twin.lineno}: {what}", changed


def mutate(node: Any) -> str:
    """Changes `node` in place; returns what was done, or nothing when it is not a formula."""
    match node:
        case ast.BinOp(op=op) | ast.UnaryOp(op=op) | ast.BoolOp(op=op) if type(op) in SWAPS:
            node.op = SWAPS[type(op)]()
            return f"{type(op).__name__} -> {type(node.op).__name__}"
        case ast.Compare(ops=[op]) if type(op) in SWAPS:
            node.ops = [SWAPS[type(op)]()]
            return f"{type(op).__name__} -> {type(node.ops[0]).__name__}"
        case ast.Name(id=name) if name in RENAMES:
            node.id = RENAMES[name]
            return f"{name} -> {node.id}"
        case ast.Attribute(attr=name) if name in RENAMES:
            node.attr = RENAMES[name]
            return f"{name} -> {node.attr}"
        case ast.Constant(value=bool()):
            node.value = not node.value
            return f"{not node.value} -> {node.value}"
        case ast.Constant(value=int() | float() as value):
            node.value = value + 1
            return f"{value} -> {node.value}"
        case _:
            return ""


def survivors(module: Path) -> list[str]:
    """Mutants of `module` that its mirror test passes; a module without one is itself listed."""
    relative = module.relative_to(ROOT)
    test = Path("tests") / relative.parent / f"test_{relative.name}"
    if not (ROOT / test).exists():
        return [f"{relative}: no {test}"]
    tree = ast.parse(module.read_text())
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_of_project(Path(folder))
        return [
            f"{relative}: {what}"
            for what, mutant in mutants(tree)
            if passes(copied, relative, ast.unparse(ast.fix_missing_locations(mutant)), test)
        ]


def copy_of_project(folder: Path) -> Path:
    """The packages and their tests in `folder`, so that the checkout is never changed."""
    skipped = shutil.ignore_patterns("__pycache__", "*.safetensors", "*.jsonl")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, folder / package, ignore=skipped)
    shutil.copy(ROOT / "pyproject.toml", folder)
    return folder


def passes(project: Path, module: Path, source: str, test: Path) -> bool:
    (project / module).write_text(source)
    command = [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", str(test)]
    return subprocess.run(command, cwd=project, capture_output=True).returncode == 0


def formula_modules() -> list[Path]:
    found = [path for folder in FORMULAS for path in sorted((ROOT / folder).glob("*.py"))]
    return [path for path in found if path.name != "__init__.py"]


def main(arguments: list[str]) -> int:
    modules = [Path(argument).resolve() for argument in arguments] or formula_modules()
    found = [line for module in modules for line in survivors(module)]
    print("\n".join(found) or f"no mutant of {len(modules)} modules survives")
    return int(bool(found))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
