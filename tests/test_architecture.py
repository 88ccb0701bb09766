"""The repository's rules: who may import whom, and what stays light."""

import ast
import subprocess
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
MAY_IMPORT = {
    "data": set(),
    "rewards": {"data"},
    "rollout": {"data"},
    "rl": {"data", "rewards", "rollout"},
}
ONLY_IN = {
    "vllm": ("rollout/vllm/",),
    "deepspeed": ("rl/learner/",),
    "wandb": ("rl/run/tracker.py",),
    "torch": ("rl/", "rollout/vllm/", "rollout/fingerprint.py", "rollout/transformers_"),
    "hydra": ("rl/cli/",),
}
HEAVY = ("torch", "vllm", "transformers", "deepspeed", "datasets", "wandb")
SOURCES = sorted(path for package in MAY_IMPORT for path in (ROOT / package).rglob("*.py"))
CONFIGS = sorted(path for path in SOURCES if path.name == "config.py")


def imported_modules(path: Path) -> Iterator[str]:
    """Full names of the modules that a file imports when it runs, wherever in it they stand."""
    for node in _running(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield node.module or ""


def imported_packages(path: Path) -> Iterator[str]:
    return (module.split(".")[0] for module in imported_modules(path))


def _running(node: ast.AST) -> Iterator[ast.AST]:
    """Every node below, but those under `if TYPE_CHECKING`."""
    for child in ast.iter_child_nodes(node):
        if isinstance(child, ast.If) and ast.unparse(child.test) == "TYPE_CHECKING":
            continue
        yield child
        yield from _running(child)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


@pytest.mark.parametrize("package", MAY_IMPORT)
def test_package_imports_only_packages_below_it(package: str) -> None:
    ours = set(MAY_IMPORT) - {package}
    for path in (ROOT / package).rglob("*.py"):
        upward = (set(imported_packages(path)) & ours) - MAY_IMPORT[package]
        assert not upward, f"{name_of(path)} imports {sorted(upward)}"


def test_only_the_command_line_imports_the_command_line() -> None:
    for path in SOURCES:
        if not name_of(path).startswith("rl/cli/"):
            wiring = [name for name in imported_modules(path) if name.startswith("rl.cli")]
            assert not wiring, f"{name_of(path)} imports {wiring}"


@pytest.mark.parametrize("library", ONLY_IN)
def test_heavy_library_is_imported_only_where_it_belongs(library: str) -> None:
    for path in SOURCES:
        allowed = name_of(path).startswith(ONLY_IN[library])
        assert allowed or library not in imported_packages(path), f"{name_of(path)}: {library}"


def test_scripts_are_never_imported() -> None:
    for path in SOURCES:
        assert "scripts" not in imported_packages(path), name_of(path)


def test_imports_are_by_full_path() -> None:
    for path in SOURCES:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            relative = isinstance(node, ast.ImportFrom) and node.level > 0
            assert not relative, f"{name_of(path)} line {getattr(node, 'lineno', 0)}"


def test_configs_import_only_the_standard_library_omegaconf_and_each_other() -> None:
    """And the one message that they share, which imports nothing."""
    assert not list(imported_modules(ROOT / "data" / "bounds.py"))
    for path in CONFIGS:
        for module in imported_modules(path):
            package = module.split(".")[0]
            light = package in sys.stdlib_module_names or package == "omegaconf"
            fine = light or module.endswith(".config") or module == "data.bounds"
            assert fine, f"{name_of(path)} imports {module}"


@pytest.mark.parametrize("module", ["data.config", "rl.config", "rl.cli.compose", "rl.cli.launch"])
def test_configuration_loads_nothing_heavy(module: str) -> None:
    code = f"import {module}, sys; print([n for n in {HEAVY!r} if n in sys.modules])"
    finished = subprocess.run(
        [sys.executable, "-c", code], check=True, capture_output=True, text=True, cwd=ROOT
    )
    assert finished.stdout == "[]\n"


def test_every_package_is_listed_for_the_wheel() -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    listed = project["tool"]["hatch"]["build"]["targets"]["wheel"]["only-include"]
    assert set(listed) == {*MAY_IMPORT, "recipes"}


def test_tests_mirror_the_packages() -> None:
    for path in (ROOT / "tests").rglob("test_*.py"):
        folder = path.parent.relative_to(ROOT / "tests")
        assert (ROOT / folder).is_dir(), f"{name_of(path)}: there is no folder {folder}"
