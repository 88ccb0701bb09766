"""What a user may name after --model, and as the recipe of an evaluation."""

from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError
from rl.cli.subject import chosen_recipe, subject

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
LARGE = ROOT / "recipes" / "grpo_lambda.yaml"
MACHINE = Machine(num_cores=2, num_gpus=0)


@pytest.fixture(scope="module")
def resolved() -> str:
    return compose(QUICKSTART, ["learner.zero_stage=1"], MACHINE).text


@pytest.fixture
def run_folder(resolved: str, tmp_path: Path) -> Path:
    """A run that was stopped after a checkpoint: its recipe names where it trained."""
    folder = tmp_path / "it's a run"
    (folder / "checkpoints" / "step_2" / "learner").mkdir(parents=True)
    (folder / "recipe.yaml").write_text(resolved.replace("dir: ''", f"dir: {folder}"))
    return folder


def model_path(overrides: tuple[str, ...]) -> str:
    return compose(QUICKSTART, overrides, MACHINE).config.model.path


def test_nothing_named_is_the_model_of_the_recipe() -> None:
    assert subject("", MACHINE).overrides == ()


@pytest.mark.parametrize("name", ["org/a-model", "lab:short_tied"])
def test_a_hub_name_or_a_lab_model_stands_as_it_is(name: str) -> None:
    assert subject(name, MACHINE).overrides[0] == f"model.path='{name}'"


def test_shapes_of_the_recipe_are_those_of_its_own_model_only() -> None:
    config = compose(LARGE, subject("org/other", MACHINE).overrides, MACHINE).config
    assert (config.model.num_layers, config.model.context_tokens) == (0, 0)
    assert config.model.revision == "main"


def test_a_finished_run_is_its_export(run_folder: Path) -> None:
    (run_folder / "export").mkdir()
    (run_folder / "export" / "config.json").write_text("{}")
    chosen = subject(str(run_folder), MACHINE)
    assert model_path(chosen.overrides) == str(run_folder / "export")
    assert chosen.name == str(run_folder)


def test_an_export_is_a_model_though_it_holds_the_recipe_of_its_run(run_folder: Path) -> None:
    (run_folder / "config.json").write_text("{}")
    assert model_path(subject(str(run_folder), MACHINE).overrides) == str(run_folder)


def test_a_run_without_an_export_names_its_newest_checkpoint(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match=r"has no export.*checkpoint is .*step_2"):
        subject(str(run_folder), MACHINE)


def test_a_checkpoint_brings_the_configuration_that_trained_it(run_folder: Path) -> None:
    place = run_folder / "checkpoints" / "step_2"
    chosen = subject(str(place), MACHINE)
    assert chosen.checkpoint == place
    assert chosen.trained is not None
    assert chosen.trained.learner.zero_stage == 1
    assert chosen.overrides[0] == "model.path='lab:short'"


def test_a_checkpoint_outside_its_run_is_refused(tmp_path: Path) -> None:
    (tmp_path / "a" / "b" / "learner").mkdir(parents=True)
    with pytest.raises(RecipeError, match=r"outside its run: .*recipe\.yaml is missing"):
        subject(str(tmp_path / "a" / "b"), MACHINE)


def test_a_run_in_place_of_a_recipe_is_recipe_and_model(run_folder: Path, tmp_path: Path) -> None:
    assert chosen_recipe(run_folder, "") == (run_folder / "recipe.yaml", str(run_folder))
    assert chosen_recipe(run_folder, "org/m") == (run_folder / "recipe.yaml", "org/m")
    assert chosen_recipe(QUICKSTART, "") == (QUICKSTART, "")
    with pytest.raises(RecipeError, match=r"a folder without recipe\.yaml"):
        chosen_recipe(tmp_path, "")
