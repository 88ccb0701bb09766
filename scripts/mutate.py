"""Flips one operator or constant at a time in the formula modules and lists what no test notices.

python scripts/mutate.py [module.py ...]     exit status 1 when a mutant survives
"""

import ast
import copy
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import hypothesis  # noqa: F401
import pytest
import torch  # noqa: F401

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
    left_out = {
        part for node in ast.walk(tree) for guard in guards(node) for part in ast.walk(guard)
    }
    for number, node in enumerate(ast.walk(tree)):
        if node in left_out:
            continue
        changed = copy.deepcopy(tree)
        twin: Any = list(ast.walk(changed))[number]
        what = mutate(twin)
        if what:
            yield f"line {twin.lineno}: {what}", changed


def guards(node: ast.AST) -> list[ast.expr]:
    """What is no formula: decorators, and `strict` of a zip whose arguments are equally long."""
    match node:
        case ast.ClassDef() | ast.FunctionDef():
            return node.decorator_list
        case ast.keyword(arg="strict"):
            return [node.value]
        case _:
            return []


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
    """Mutants of `module` that its mirror test passes; without a test that passes, the module."""
    relative = module.relative_to(ROOT)
    test = Path("tests") / relative.parent / f"test_{relative.name}"
    if not (ROOT / test).exists():
        return [f"{relative}: no {test}"]
    tree = ast.parse(module.read_text())
    with tempfile.TemporaryDirectory() as folder:
        copied = copy_of_project(Path(folder))
        if not passes(copied, relative, module.read_text(), test):
            return [f"{relative}: {test} fails without a mutant"]
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
    """Whether `test` passes on `source`, tried in a fork: torch is not imported for each mutant."""
    (project / module).write_text(source)
    child = get_context("fork").Process(target=run_test, args=(project, test))
    child.start()
    child.join()
    return child.exitcode == 0


def run_test(project: Path, test: Path) -> None:
    """Ends the process with the status of `test` in `project`, and without output."""
    os.chdir(project)
    sys.path.insert(0, str(project))
    sys.dont_write_bytecode = True
    silence = os.open(os.devnull, os.O_WRONLY)
    os.dup2(silence, sys.stdout.fileno())
    os.dup2(silence, sys.stderr.fileno())
    os._exit(pytest.main(["-q", "-x", "-p", "no:cacheprovider", str(test)]))


def formula_modules() -> list[Path]:
    found = [path for folder in FORMULAS for path in sorted((ROOT / folder).glob("*.py"))]
    return [path for path in found if path.name != "__init__.py"]


def main(arguments: list[str]) -> int:
    modules = [Path(argument).resolve() for argument in arguments] or formula_modules()
    found = 0
    for module in modules:
        for line in survivors(module):
            print(line, flush=True)
            found += 1
    print(f"{found} mutants of {len(modules)} modules survive")
    return int(found > 0)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
