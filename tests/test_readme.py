"""The README is complete: every module has its line in the tree, every shown command exists."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
MODULES = sorted(
    path
    for package in ("data", "rewards", "rollout", "rl", "scripts")
    for path in (ROOT / package).rglob("*.py")
    if path.name != "__init__.py"
)


@pytest.mark.parametrize("path", MODULES, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_module_has_its_line_in_the_tree(path: Path) -> None:
    assert re.search(rf"^ +{re.escape(path.name)} +\S", README, re.MULTILINE), path.name


def test_every_recipe_that_is_named_exists() -> None:
    for name in re.findall(r"recipes/[\w/]+\.yaml", README):
        assert (ROOT / name).is_file(), name


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"@[A-Z_]+@", README)
