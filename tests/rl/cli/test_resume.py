"""A resumed run keeps the recipe that it was started with."""

from pathlib import Path

import pytest

from rl.cli.recipe import RecipeError
from rl.cli.resume import resumed

RECIPE = Path("recipes/quickstart.yaml")


@pytest.fixture
def run_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    folder = tmp_path / "runs" / "quickstart-1"
    folder.mkdir(parents=True)
    (folder / "recipe.yaml").touch()
    return folder


def test_without_resume_nothing_changes() -> None:
    assert resumed(RECIPE, ["seed=1"]) == (RECIPE, ["seed=1"])


@pytest.mark.parametrize("place", ["runs/quickstart-1", "latest"])
def test_recipe_in_the_folder_is_used(run_folder: Path, place: str) -> None:
    recipe, overrides = resumed(RECIPE, ["num_steps=9", f"resume={place}", "log.wandb=off"])
    assert recipe == run_folder / "recipe.yaml"
    assert overrides == ["num_steps=9", "log.wandb=off", f"resume='{run_folder}'"]


def test_a_checkpoint_stands_for_its_run(run_folder: Path) -> None:
    checkpoint = run_folder / "checkpoints" / "step_2"
    recipe, overrides = resumed(RECIPE, [f"resume={checkpoint}"])
    assert (recipe, overrides) == (run_folder / "recipe.yaml", [f"resume='{checkpoint}'"])


def test_overrides_that_would_change_the_run_are_refused(run_folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        resumed(RECIPE, ["resume=latest", "seed=1", "learner.learning_rate=1"])
    assert caught.value.problems == [
        f"{text!r} with resume=latest: the resumed run keeps its recipe; only num_steps, "
        "evaluation, checkpoint, guards, log, rollout.num_threads, learner.num_threads, "
        "verifier.workers, verifier.timeout_seconds, verifier.memory_gib, reward.timeout_seconds, "
        "gate.timeout_seconds may be set"
        for text in ("seed=1", "learner.learning_rate=1")
    ]


def test_folder_that_is_no_run(run_folder: Path) -> None:
    with pytest.raises(RecipeError) as caught:
        resumed(RECIPE, ["resume=runs"])
    assert caught.value.problems == ["resume=runs: runs is no run: it has no recipe.yaml"]


def test_no_run_of_that_recipe(run_folder: Path) -> None:
    with pytest.raises(RecipeError, match="no run of 'other'"):
        resumed(Path("other.yaml"), ["resume=latest"])
