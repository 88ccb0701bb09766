"""The recipe to use instead, when the chosen option of a group lacks keys that a recipe sets."""

from collections.abc import Sequence
from dataclasses import fields, is_dataclass
from typing import Any

import yaml
from omegaconf import DictConfig, OmegaConf

from rl.cli.gather import Gathered
from rl.cli.leaves import Schema, suggestions
from rl.cli.options import Groups
from rl.cli.recipe import Leaf, Recipe


def is_misplaced(
    leaf: Leaf, recipe: Recipe, gathered: Gathered, schema: Schema, groups: Groups
) -> bool:
    """Whether `leaf` is a line of the recipe that belongs to another option of its group."""
    group, _, name = leaf.key.partition(".")
    if leaf.path != recipe.path or group not in groups or not name:
        return False
    if name.split(".")[0] in {field.name for field in fields(schema[group])}:
        return False
    if gathered.choices.get(group) != gathered.chosen_by_files.get(group):
        return True
    return bool(_owners(leaf, groups)) or not any(
        key.startswith(f"{group}.") for key in suggestions(leaf.key, schema)
    )


def misplaced_problem(leaf: Leaf, gathered: Gathered, groups: Groups) -> str:
    """What to say about it: line, key, the option that has no such key, those that have."""
    group = leaf.key.split(".")[0]
    choice = gathered.choices[group]
    owners = _owners(leaf, groups)
    have = "has" if len(owners) == 1 else "have"
    others = f"; {' and '.join(f'{group}={name}' for name in owners)} {have}" if owners else ""
    return (
        f"{leaf.key}={leaf.value} ({leaf.place}): {group}={choice.name} ({choice.place}) has no "
        f"such key{others}"
    )


def recipe_instead(recipe: Recipe, misplaced: Sequence[Leaf], gathered: Gathered) -> str:
    """The text of `recipe` under the choices that were made, without the misplaced keys."""
    comments = [line for line in recipe.text.splitlines() if line.startswith("#")]
    dropped = {leaf.key for leaf in misplaced}
    kept = OmegaConf.create({})
    for leaf in recipe.leaves:
        if leaf.key not in dropped:
            OmegaConf.update(kept, leaf.key, leaf.value, force_add=True)
    body = yaml.safe_dump(_plain(kept), sort_keys=False, default_flow_style=None, width=100)
    return "\n".join([*comments, "defaults:", *_defaults(recipe, gathered), "", body])


def _plain(config: DictConfig) -> dict[str, Any]:
    content = OmegaConf.to_container(config)
    assert isinstance(content, dict), "a recipe is a mapping"
    return {str(key): value for key, value in content.items()}


def _defaults(recipe: Recipe, gathered: Gathered) -> list[str]:
    lines = []
    for entry in recipe.defaults:
        if isinstance(entry, dict):
            lines += [f"  - {group}: {gathered.choices[group].name}" for group in entry]
        else:
            lines.append(f"  - {entry}")
    return lines


def _owners(leaf: Leaf, groups: Groups) -> list[str]:
    group, _, rest = leaf.key.partition(".")
    name = rest.split(".")[0]
    return [
        option
        for option, (config, _) in groups[group].items()
        if is_dataclass(config) and name in {field.name for field in fields(config)}
    ]
