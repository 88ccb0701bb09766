"""What keeps a run's weights sound, at every ZeRO stage.

A gradient that is not finite is left out, and an earlier checkpoint comes back in mid-run.
"""

import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from rl.learner.batch import Row
from rl.learner.channel import Work
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.rl.learner.replay_driver import read_steps, run_config

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def steps(recording: Path) -> Work:
    return read_steps(recording)


def learner(model: Path, ranks: Ranks, stage: int, offload: str = "none") -> LearnerGroup:
    config = run_config({"learner": {"zero_stage": stage, "offload": offload}})
    return LearnerGroup(DeepSpeedLearner(config, str(model), ranks), config, ranks)


def spoiled(rows: list[Row], advantage: float) -> list[Row]:
    """`rows` with the advantage of one token replaced."""
    advantages = rows[0].advantages.copy()
    advantages[0] = advantage
    return [replace(rows[0], advantages=advantages), *rows[1:]]


@pytest.mark.parametrize(
    ("stage", "offload"),
    [(0, "none"), (1, "none"), (2, "none"), (3, "none"), (2, "optimizer"), (3, "all")],
)
@pytest.mark.parametrize("advantage", [np.nan, np.inf])
def test_an_update_with_a_bad_gradient_is_left_out(
    stage: int, offload: str, advantage: float, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    clean, hit = (learner(tiny_model, ranks, stage, offload) for _ in range(2))
    before = clean.update(steps[0])
    assert hit.update(steps[0]) == before
    bad = hit.update([spoiled(rows, advantage) for rows in steps[1]])
    assert bad["skipped_updates"] == 2
    assert not math.isfinite(bad["loss"])
    assert not math.isfinite(bad["grad_norm"])
    assert bad["weights/l2"] == before["weights/l2"]
    assert hit.update(steps[2]) == clean.update(steps[2])


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_an_earlier_checkpoint_comes_back_in_mid_run(
    stage: int, tiny_model: Path, ranks: Ranks, steps: Work, tmp_path: Path
) -> None:
    trained = learner(tiny_model, ranks, stage)
    trained.update(steps[0])
    trained.save(tmp_path / "learner")
    expected = trained.update(steps[1])
    trained.update(steps[2])
    trained.load(tmp_path / "learner")
    assert trained.update(steps[1]) == expected
