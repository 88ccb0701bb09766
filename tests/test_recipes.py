"""Every recipe that ships is one: it resolves, and says what it is and how it is run."""

from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("model", "data")
MACHINE = Machine(num_cores=8, num_gpus=8, num_local_learners=4, num_learners=4)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


RECIPES = sorted(
    name_of(path)
    for path in (ROOT / "recipes").rglob("*.yaml")
    if path.relative_to(ROOT / "recipes").parts[0] not in GROUPS
)


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_states_its_paper_and_its_command(recipe: str) -> None:
    paper, command, *_ = (ROOT / recipe).read_text(encoding="utf-8").splitlines()
    assert paper.startswith("# ") and "arXiv:" in paper
    assert command.startswith("# Run: torchrun ") and recipe in command


@pytest.mark.parametrize("recipe", RECIPES)
def test_recipe_fits_on_a_screen(recipe: str) -> None:
    assert len((ROOT / recipe).read_text(encoding="utf-8").splitlines()) <= 40


@pytest.mark.thorough
@pytest.mark.parametrize("recipe", RECIPES)
def test_resolved_recipe_is_a_recipe_that_resolves_to_the_same_run(
    recipe: str, tmp_path: Path
) -> None:
    composed = compose(ROOT / recipe, [], MACHINE)
    assert type(composed.config) is RunConfig
    saved = tmp_path / "recipe.yaml"
    saved.write_text(composed.text, encoding="utf-8")
    again = compose(saved, [], MACHINE)
    assert again.config == composed.config
    assert again.text == composed.text


def test_every_method_has_its_lab_twin() -> None:
    methods = {path.stem for path in (ROOT / "recipes").glob("*.yaml")} - {"quickstart"}
    assert methods == {path.stem for path in (ROOT / "recipes" / "lab").glob("*.yaml")}
