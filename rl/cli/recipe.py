"""Reading YAML: a file as a defaults list and leaves that know their line."""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from omegaconf import OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rl.cli.secrets import mask

OURS = Path(__file__).resolve().parents[2] / "recipes"


class RecipeError(ValueError):
    """A run cannot start as configured: its message lists every reason, keys masked.

    The launcher prints it without a traceback and exits with 2. `instead` is the text of a recipe
    that would do.
    """

    def __init__(self, problems: Sequence[str], instead: str = "") -> None:
        self.problems = [mask(problem) for problem in problems]
        self.instead = instead
        lines = [f"- {problem}" for problem in self.problems]
        if instead:
            lines += ["", "A recipe to use instead:", "", instead.rstrip()]
        super().__init__("\n".join(lines))


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """One value that a file or an override sets, by its full key."""

    key: str
    value: Any
    place: str
    """Where it is set: `recipes/palu.yaml line 7` or `command line`."""
    path: Path | None = None
    """The file that sets it; None on the command line."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Recipe:
    """A YAML file: its text, its defaults list, and its values."""

    path: Path
    text: str
    defaults: list[Any]
    leaves: list[Leaf]

    @property
    def parents(self) -> list[str]:
        """Recipes that this one builds on."""
        names = (entry for entry in self.defaults if isinstance(entry, str))
        return [name for name in names if name not in ("schema", "_self_")]

    @property
    def choices(self) -> dict[str, str]:
        """Group to chosen name, as the defaults list says."""
        chosen = {}
        for entry in self.defaults:
            if isinstance(entry, Mapping):
                for key, name in entry.items():
                    group = str(key).removeprefix("override ").removeprefix("optional ")
                    chosen[group.lstrip("/")] = str(name)
        return chosen


def read_recipe(path: Path) -> Recipe:
    """The recipe at `path`; raises `RecipeError` where there is none."""
    recipe = read_yaml(path)
    if "schema" in recipe.defaults or recipe.parents:
        return recipe
    raise RecipeError(
        [
            f"{show(path)} is not a recipe of Laconic: it has no `defaults: [schema, ...]`; "
            "recipes/quickstart.yaml is one"
        ]
    )


def read_yaml(path: Path, group: str = "") -> Recipe:
    """Any YAML file as a `Recipe`; `group` is put before its keys."""
    text = _text(path)
    try:
        root = yaml.compose(text, Loader=yaml.SafeLoader)
        if not isinstance(root, yaml.MappingNode):
            return Recipe(path=path, text=text, defaults=[], leaves=[])
        content = OmegaConf.to_container(OmegaConf.create(text))
    # PyYAML passes on what its scalars raise: ValueError for 2026-99-99, for one.
    except (yaml.YAMLError, OmegaConfBaseException, ValueError, TypeError) as error:
        raise RecipeError([f"{show(path)} is not valid YAML: {error}"]) from error
    except RecursionError:
        raise RecipeError([f"{show(path)}: nests too deeply, or contains itself"]) from None
    assert isinstance(content, dict), "a mapping's container is a dict"
    defaults = _defaults(content.pop("defaults", None), path)
    lines = dict(_lines(root))
    prefix = (group,) if group else ()
    leaves = [
        Leaf(
            key=".".join((*prefix, *keys)),
            value=value,
            place=f"{show(path)} line {lines.get(keys, 1)}",
            path=path,
        )
        for keys, value in walk(content)
    ]
    return Recipe(path=path, text=text, defaults=defaults, leaves=leaves)


def _text(path: Path) -> str:
    try:
        if path.is_file():
            return path.read_text(encoding="utf-8")
    except UnicodeDecodeError as error:
        raise RecipeError([f"{show(path)} is not UTF-8 text: {error}"]) from error
    except (OSError, ValueError) as error:
        raise RecipeError([f"{str(path)[:200]!r} cannot be read: {error}"[:400]]) from error
    raise RecipeError([f"{show(path)}: there is no such file"])


def _defaults(defaults: object, path: Path) -> list[Any]:
    """The defaults list, of names and of `group: name` alone."""
    entries = [] if defaults is None else defaults
    if isinstance(entries, list) and all(_is_default(entry) for entry in entries):
        return entries
    raise RecipeError(
        [
            f"{show(path)}: defaults={str(defaults)[:200]}: it must be a list of names and of "
            "`group: name`, such as [schema, model: lab_short, _self_]"
        ]
    )


def _is_default(entry: object) -> bool:
    if isinstance(entry, dict):
        return all(isinstance(part, str) for pair in entry.items() for part in pair)
    return isinstance(entry, str)


def walk(content: Mapping[Any, Any], above: tuple[str, ...] = ()) -> Iterator[tuple[Any, Any]]:
    """Keys and value of every leaf of nested mappings; an empty mapping is a leaf."""
    for key, value in content.items():
        keys = (*above, str(key))
        if isinstance(value, Mapping) and value:
            yield from walk(value, keys)
        else:
            yield keys, value


def find_yaml(folder: Path, name: str) -> Path | None:
    """`name` of the recipe's own folder, else of ours."""
    candidates = [place / f"{name}.yaml" for place in (folder, OURS)]
    return next((path for path in candidates if path.is_file()), None)


def show(path: Path) -> str:
    """A path as short as it can be from the current folder."""
    absolute, here = path.absolute(), Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def _lines(node: yaml.MappingNode, above: tuple[str, ...] = ()) -> Iterator[tuple[Any, int]]:
    for key, value in node.value:
        keys = (*above, str(key.value))
        yield keys, key.start_mark.line + 1
        if isinstance(value, yaml.MappingNode):
            yield from _lines(value, keys)
