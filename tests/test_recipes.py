"""Every recipe that ships is one: it resolves, and says what it is and how it is run."""

import re
from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.config import RunConfig

ROOT = Path(__file__).resolve().parents[1]
GROUPS = ("model", "data")
LAB = Machine(num_cores=2, num_gpus=0)
COMMAND = re.compile(
    r"# Run: torchrun --nproc-per-node (\d+) .*\((\d+) GPUs: (\d+) learn, (\d+) roll out\)"
)


def name_of(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


RECIPES = sorted(
    name_of(path)
    for path in (ROOT / "recipes").rglob("*.yaml")
    if path.relative_to(ROOT / "recipes").parts[0] not in GROUPS
)


def machine_of(recipe: str) -> Machine:
    """The one that the recipe's second line asks for: two cores, or so many GPUs."""
    command = (ROOT / recipe).read_text(encoding="utf-8").splitlines()[1]
    asked = COMMAND.match(command)
    if asked is None:
        assert "(two CPU cores" in command
        return LAB
    processes, gpus, learners, engines = map(int, asked.groups())
    assert processes == learners and learners + engines == gpus <= 8
    return Machine(num_cores=64, num_gpus=gpus, num_local_learners=learners, num_learners=learners)


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
    machine = machine_of(recipe)
    composed = compose(ROOT / recipe, [], machine)
    assert type(composed.config) is RunConfig
    saved = tmp_path / "recipe.yaml"
    saved.write_text(composed.text, encoding="utf-8")
    again = compose(saved, [], machine)
    assert again.config == composed.config
    assert again.text == composed.text


def test_every_method_has_its_lab_twin() -> None:
    methods = {path.stem for path in (ROOT / "recipes").glob("*.yaml")} - {"quickstart"}
    assert methods == {path.stem for path in (ROOT / "recipes" / "lab").glob("*.yaml")}
