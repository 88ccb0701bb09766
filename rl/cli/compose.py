"""From a recipe and overrides to a `RunConfig`, or to one message with every problem.

Flow: read -> gather -> each choice and leaf alone -> Hydra's composition -> the problems of the
sections and between them. What is wrong at one stage does not silence a later one: that one sees
the recipe without its bad parts.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from hydra import compose as hydra_compose
from hydra import initialize_config_dir
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from rl.cli.gather import Choice, Gathered, gather
from rl.cli.instead import is_misplaced, misplaced_problem, recipe_instead
from rl.cli.leaves import Schema, choice_problems, leaf_problem, schema_of
from rl.cli.machine import Machine, this_machine
from rl.cli.options import GROUPS, UNCHOSEN, Groups, fill_config_store
from rl.cli.places import make_places_absolute
from rl.cli.problems import run_problems
from rl.cli.recipe import OURS, Leaf, RecipeError, read_recipe, walk
from rl.cli.secrets import secret_problems
from rl.config import RunConfig

SCHEMA_LINE = "defaults: [schema, {choices}, _self_]"


@dataclass(frozen=True, slots=True, kw_only=True)
class Composed:
    """A run's configuration, typed, and as the text of a recipe that needs no other file."""

    config: RunConfig
    text: str


def compose(
    path: Path,
    overrides: Sequence[str],
    machine: Machine | None = None,
    groups: Groups = GROUPS,
) -> Composed:
    """The configuration of one run; raises `RecipeError` with all problems at once."""
    recipe = read_recipe(path)
    gathered = gather(recipe, overrides, groups)
    _choose_what_is_unchosen(gathered, groups)
    unknown = choice_problems(gathered.choices, groups, path.parent)
    schema = schema_of(gathered.choices, groups)
    found = [*gathered.problems, *unknown.values()]
    good: list[Leaf] = []
    misplaced: list[Leaf] = []
    for leaf in gathered.leaves:
        if leaf.key.split(".")[0] in unknown:
            continue
        problem = leaf_problem(leaf, schema)
        if problem is None:
            good.append(leaf)
        elif is_misplaced(leaf, recipe, gathered, schema, groups):
            misplaced.append(leaf)
            found.append(misplaced_problem(leaf, gathered, groups))
        else:
            found.append(problem)
    try:
        node = (
            _without_hydra(schema, good, groups) if found else _with_hydra(path, gathered, groups)
        )
        make_places_absolute(node, gathered.leaves)
        config = OmegaConf.to_object(node)
    except (HydraException, OmegaConfBaseException) as error:
        raise RecipeError([*found, _short(error)]) from error
    assert isinstance(config, RunConfig), "the schema is the root"
    found += run_problems(config, machine or this_machine())
    values = OmegaConf.to_container(node, resolve=True)
    assert isinstance(values, dict)
    found += secret_problems(walk(values), os.environ)
    if found:
        only_misplaced = len(found) == len(misplaced)
        instead = recipe_instead(recipe, misplaced, gathered) if only_misplaced else ""
        raise RecipeError(found, instead)
    return Composed(config=config, text=_resolved_text(recipe.text, gathered, node))


def _choose_what_is_unchosen(gathered: Gathered, groups: Groups) -> None:
    for group in groups:
        if group in gathered.choices:
            continue
        if group in UNCHOSEN:
            gathered.choices[group] = Choice(name=UNCHOSEN[group], place="default")
            gathered.overrides.append(f"+{group}={UNCHOSEN[group]}")
        else:
            names = ", ".join(groups[group])
            gathered.problems.append(
                f"{group}: nothing is chosen; add `{group}: NAME` to the defaults list, with one "
                f"of {names}"
            )


def _with_hydra(path: Path, gathered: Gathered, groups: Groups) -> DictConfig:
    """Hydra's composition: the recipe is the primary config of its own folder, ours is searched."""
    fill_config_store(groups)
    places = [f"hydra.searchpath=['file://{OURS}']"]
    with initialize_config_dir(config_dir=str(path.parent.absolute()), version_base="1.3"):
        node = hydra_compose(config_name=path.stem, overrides=places + gathered.overrides)
    # Hydra lays an option that the files do not choose over the values that they set for its group.
    for leaf in gathered.leaves:
        group = leaf.key.split(".")[0]
        if group in groups and group not in gathered.chosen_by_files:
            OmegaConf.update(node, leaf.key, leaf.value, force_add=True)
    return node


def _without_hydra(schema: Schema, leaves: Sequence[Leaf], groups: Groups) -> DictConfig:
    """The same values laid over the schema one by one, for a recipe that Hydra would stop at."""
    node = OmegaConf.structured(RunConfig)
    for group in groups:
        node[group] = OmegaConf.structured(schema[group])
    for leaf in leaves:
        OmegaConf.update(node, leaf.key, leaf.value, force_add=True)
    assert isinstance(node, DictConfig)
    return node


def _resolved_text(text: str, gathered: Gathered, node: DictConfig) -> str:
    comments = [line for line in text.splitlines() if line.startswith("#")]
    options = [f"{group}: {gathered.choices[group].name}" for group in GROUPS]
    values: Any = OmegaConf.to_yaml(node, resolve=True)
    header = SCHEMA_LINE.format(choices=", ".join(options))
    return "\n".join([*comments, header, values])


def _short(error: Exception) -> str:
    """The lines of a Hydra or OmegaConf message that say something, on one."""
    lines = [line.strip() for line in str(error).splitlines()]
    return " ".join(line for line in lines if line and not line.startswith("object_type="))
