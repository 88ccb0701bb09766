"""PAPERS.md names code that is there, and every recipe has its row."""

import ast
import re
from functools import cache
from pathlib import Path

import pytest

from rl.cli.options import GROUPS

ROOT = Path(__file__).resolve().parents[1]
TEXT = (ROOT / "PAPERS.md").read_text(encoding="utf-8")
NAMES = sorted(set(re.findall(r"`((?:data|rewards|rollout|rl)(?:\.\w+)+)`", TEXT)))
RECIPES = sorted(path.stem for path in (ROOT / "recipes").glob("*.yaml"))


@cache
def top_level(module: Path) -> set[str]:
    """The names that a module's file binds, imports aside."""
    found = set()
    for node in ast.parse(module.read_text(encoding="utf-8")).body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef | ast.AsyncFunctionDef):
            found.add(node.name)
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        found |= {target.id for target in targets if isinstance(target, ast.Name)}
    return found


def is_there(name: str) -> bool:
    """Whether the dotted `name` is a package, a module, or what a module binds."""
    parts = name.split(".")
    for size in range(len(parts), 0, -1):
        path, rest = ROOT.joinpath(*parts[:size]), parts[size:]
        if path.is_dir() and not rest:
            return True
        if (module := path.with_suffix(".py")).is_file():
            return not rest or rest[0] in top_level(module)
    return False


def is_key(name: str) -> bool:
    """Whether `name` is a key of recipes, which may look like code: `rollout.tree.depth`."""
    section, *path = name.split(".")
    choices = [option.config() for option in GROUPS.get(section, {}).values()]
    missing = object()
    for at in path:
        choices = [getattr(each, at, missing) for each in choices]
    return any(each is not missing for each in choices)


@pytest.mark.parametrize("name", NAMES)
def test_a_name_is_one_of_code_or_a_key_of_recipes(name: str) -> None:
    assert is_there(name) or is_key(name)


@pytest.mark.parametrize("recipe", RECIPES)
def test_a_recipe_is_in_the_table(recipe: str) -> None:
    assert re.search(rf"`{recipe}`", TEXT), f"PAPERS.md has no row for recipes/{recipe}.yaml"
