"""Everything that configures one run, before any of it is checked: choices, leaves, overrides."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from hydra.core.override_parser.overrides_parser import OverridesParser
from hydra.core.override_parser.types import Override
from hydra.errors import HydraException

from rl.cli.options import YAML_GROUPS, Groups
from rl.cli.recipe import OURS, Leaf, Recipe, find_yaml, read_yaml, show, walk


@dataclass(frozen=True, slots=True, kw_only=True)
class Choice:
    """The option chosen for a group, and where."""

    name: str
    place: str


@dataclass(slots=True, kw_only=True)
class Gathered:
    """`leaves` are in the order in which later ones win; `problems` were found on the way."""

    choices: dict[str, Choice] = field(default_factory=dict)
    chosen_by_files: dict[str, Choice] = field(default_factory=dict)
    leaves: list[Leaf] = field(default_factory=list)
    overrides: list[str] = field(default_factory=list)
    """The command line, in the form that Hydra applies without complaint."""
    problems: list[str] = field(default_factory=list)


def gather(recipe: Recipe, overrides: Sequence[str], groups: Groups) -> Gathered:
    """Choices and leaves of `recipe`, its parents, its YAML groups and the command line."""
    gathered = Gathered()
    in_files = _add_files(gathered, recipe, recipe.path.parent, (recipe.path.absolute(),))
    gathered.chosen_by_files = dict(gathered.choices)
    on_command_line: list[Leaf] = []
    for text in overrides:
        on_command_line += _add_override(gathered, text, groups)
    for group in YAML_GROUPS:
        if group in gathered.choices:
            gathered.leaves += _yaml_group(gathered, group, recipe.path.parent)
    gathered.leaves += in_files + on_command_line
    return gathered


def _add_files(
    gathered: Gathered, recipe: Recipe, folder: Path, above: tuple[Path, ...]
) -> list[Leaf]:
    """The leaves of `recipe` and its parents; `above` are the files that build on it."""
    leaves: list[Leaf] = []
    for parent in recipe.parents:
        path = find_yaml(folder, parent.lstrip("/"))
        if path is None:
            gathered.problems.append(
                f"defaults of {show(recipe.path)}: {parent}.yaml is neither in {show(folder)} "
                f"nor in {show(OURS)}"
            )
        elif path.absolute() in above:
            gathered.problems.append(
                f"defaults of {show(recipe.path)}: {parent} builds on itself; take it out"
            )
        else:
            further = (*above, path.absolute())
            leaves += _add_files(gathered, read_yaml(path), folder, further)
    place = f"defaults of {show(recipe.path)}"
    for group, name in recipe.choices.items():
        gathered.choices[group] = Choice(name=name, place=place)
    return leaves + recipe.leaves


def _add_override(gathered: Gathered, text: str, groups: Groups) -> list[Leaf]:
    try:
        override = OverridesParser.create().parse_override(text)
    except (HydraException, ValueError, RecursionError) as error:
        reason = (str(error).splitlines() or [type(error).__name__])[0]
        gathered.problems.append(f"{text[:200]!r} cannot be read; write key=value ({reason})")
        return []
    key = override.key_or_group
    if override.is_delete() or override.is_sweep_override() or key.split(".")[0] == "hydra":
        gathered.problems.append(f"{text!r}: a command line can only set key=value or group=name")
        return []
    value = override.value()
    if key in (*groups, *YAML_GROUPS) and isinstance(value, str):
        plus = "" if key in gathered.chosen_by_files else "+"
        gathered.choices[key] = Choice(name=value, place="command line")
        gathered.overrides.append(f"{plus}{key}={value}")
        return []
    gathered.overrides.append(f"++{_without_sign(override, text)}")
    pairs = walk(value, (key,)) if isinstance(value, dict) and value else [((key,), value)]
    return [Leaf(key=".".join(keys), value=each, place="command line") for keys, each in pairs]


def _without_sign(override: Override, text: str) -> str:
    return text.lstrip("+") if override.is_add() or override.is_force_add() else text


def _yaml_group(gathered: Gathered, group: str, folder: Path) -> list[Leaf]:
    choice = gathered.choices[group]
    path = find_yaml(folder / group, choice.name) or find_yaml(folder, f"{group}/{choice.name}")
    return read_yaml(path, group).leaves if path else []
