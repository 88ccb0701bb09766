"""The README is complete: every module has its line in the tree, every shown command exists."""

import ast
import re
from pathlib import Path

import pytest

from rl.cli.options import GROUPS

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
    """Of modules of one name, one of the lines is that of the docstring."""
    lines = re.findall(rf"^ +{re.escape(path.name)} +(\S.*)$", README, re.MULTILINE)
    docstring = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8"))) or ""
    summary = " ".join(docstring.split("\n\n")[0].split())
    assert any(summary.startswith(line.removesuffix(".")) for line in lines), (lines, summary)


def test_every_option_of_a_seam_exists() -> None:
    rows = re.findall(r"^\| [^|]+\? \| (`\w+`: .+?) \|", README, re.MULTILINE)
    named = []
    for row in rows:
        _, *parts = re.split(r"`(\w+)`: ", row)
        for group, options in zip(parts[::2], parts[1::2], strict=True):
            named += [(group, option) for option in re.findall(r"`(\w+)`", options)]
    assert len(named) > 30
    assert [(group, option) for group, option in named if option not in GROUPS[group]] == []


def test_every_recipe_that_is_named_exists() -> None:
    for name in re.findall(r"recipes/[\w/]+\.yaml", README):
        assert (ROOT / name).is_file(), name


def test_no_placeholder_is_left() -> None:
    assert not re.search(r"@[A-Z_]+@", README)
