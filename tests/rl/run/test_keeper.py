"""What a signal finds in the middle of a step is put back to the last complete one."""

import random
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from data.memory import PromptMemory
from data.sampler import PromptSampler
from rl.algorithms.dynamic_sampling import Oversampling
from rl.allocation.uniform import Uniform
from rl.config import ConstantLimitConfig, OversamplingConfig, RunConfig
from rl.learner.rng import generators, set_generators
from rl.limits.constant import build_limit
from rl.run.checkpoint import find_checkpoint, read_state
from rl.run.identity import identity
from rl.run.keeper import Keeper
from rl.run.loop import Run
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.priorities import as_drawn
from tests.rl.builders import IdleStream, prompt


class Learner:
    """Saves nothing but the draw that python's generator would give next."""

    def __init__(self) -> None:
        self.saves = 0

    def save(self, folder: Path) -> None:
        self.saves += 1
        folder.mkdir()
        (folder / "next_draw").write_text(repr(random.random()))


@pytest.fixture(autouse=True)
def own_generators() -> Any:
    before = generators()
    yield
    set_generators(before)


@pytest.fixture
def run() -> Run:
    return new_run()


def new_run() -> Run:
    parts = cast(Any, SimpleNamespace())
    return Run(
        config=RunConfig(),
        sampler=PromptSampler([prompt(name) for name in "abcdefgh"], seed=0),
        memory=PromptMemory(),
        oversampling=Oversampling(OversamplingConfig()),
        allocation=Uniform(),
        limit=build_limit(ConstantLimitConfig()),
        stream=cast(Any, IdleStream()),
        reward=parts,
        roll_out=parts,
        credit=parts,
        learner=cast(Any, Learner()),
        transfer=parts,
        rest=parts,
        probe=parts,
        interrupts=parts,
        lengths=LengthHistory(PromptMemory()),
        rank=as_drawn,
    )


def keeper_of(run: Run, folder: Path) -> Keeper:
    journal = cast(Any, SimpleNamespace(folder=folder, num_tokens=7.0))
    return Keeper(run=run, journal=journal, step=0, saved_step=0)


def state_in(folder: Path) -> dict[str, Any]:
    checkpoint = find_checkpoint(folder)
    assert checkpoint is not None
    return read_state(checkpoint, identity(RunConfig()))


def test_prompts_and_draws_since_the_last_complete_step_are_put_back(
    run: Run, tmp_path: Path
) -> None:
    keeper = keeper_of(run, tmp_path)
    run.sampler.draw(3)
    random.seed(5)
    keeper.completed(1)
    expected = random.random()
    run.sampler.draw(3)
    assert keeper.save_interrupted() == "step 1 is saved"
    state = state_in(tmp_path)
    assert (state["step"], state["sampler"]["position"], state["num_tokens"]) == (1, 3, 7.0)
    saved = tmp_path / "checkpoints" / "step_1" / "learner" / "next_draw"
    assert saved.read_text() == repr(expected)


def test_what_a_reward_learned_in_an_unfinished_step_is_forgotten(run: Run, tmp_path: Path) -> None:
    keeper = keeper_of(run, tmp_path)
    run.memory.update("a", {"n": 1})
    keeper.completed(1)
    run.memory.update("a", {"n": 2})
    run.memory.update("b", {"n": 3})
    keeper.save_interrupted()
    assert (run.memory.get("a"), run.memory.get("b")) == ({"n": 1}, {})


def test_a_run_remembers_its_prompts_across_a_checkpoint(run: Run, tmp_path: Path) -> None:
    keeper = keeper_of(run, tmp_path)
    run.memory.update("a", {"shortest": 12})
    run.memory.update("b", {"mean": 30.5, "count": 2})
    keeper.completed(1)
    keeper.save()
    resumed = new_run()
    resumed.load(state_in(tmp_path))
    assert resumed.memory.get("a") == {"shortest": 12}
    assert resumed.memory.get("b") == {"mean": 30.5, "count": 2}
    assert resumed.state() == run.state()


def test_a_step_that_is_saved_is_not_saved_again(run: Run, tmp_path: Path) -> None:
    keeper = keeper_of(run, tmp_path)
    keeper.completed(1)
    keeper.save()
    assert keeper.save_interrupted() == "step 1 is saved"
    assert cast(Any, run.learner).saves == 1


def test_before_the_first_step_there_is_nothing_to_save(run: Run, tmp_path: Path) -> None:
    assert keeper_of(run, tmp_path).save_interrupted() == "no step is complete"
    assert find_checkpoint(tmp_path) is None


def test_an_evaluation_that_is_made_is_not_due_again(run: Run, tmp_path: Path) -> None:
    keeper = keeper_of(run, tmp_path)
    keeper.completed(1)
    keeper.evaluated = True
    keeper.save_interrupted()
    assert state_in(tmp_path)["evaluated"] is True
    keeper.completed(2)
    assert keeper.evaluated is False
