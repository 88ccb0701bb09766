"""A deterministic run that is killed and resumed ends as the one that was not, bit for bit."""

import random
import sys
from pathlib import Path

import pytest

from tests.rl.run.struck import (
    KILL_GROUP,
    TINY,
    differences,
    launch,
    orphans,
    phase_seconds,
    rows,
)

NOISE = (
    "reward=custom", "reward.target=tests.rl.run.noisy.noisy", "gate=none",
    "learner.lora.rank=4", "learner.lora.dropout=0.1",
)  # fmt: skip
"""A user's reward that draws from python's, numpy's and torch's generators in its process, and
dropout, which draws from torch's in the learner."""
KILLED = {-9, 137}

pytestmark = [pytest.mark.engine, pytest.mark.long]


def uninterrupted(folder: Path, steps: int) -> Path:
    done = launch(folder, *TINY, *NOISE, f"run.dir={folder}", f"num_steps={steps}")
    assert done.code == 0, done.output
    return folder


def test_a_run_killed_in_a_checkpoint_ends_as_the_one_that_was_not(tmp_path: Path) -> None:
    reference = uninterrupted(tmp_path / "reference", 2)
    run = tmp_path / "killed"
    killed = launch(
        run, *TINY, *NOISE, f"run.dir={run}", "num_steps=2",
        phase="seal", occurrence=2, after_seconds=0, strike=KILL_GROUP,
    )  # fmt: skip
    assert killed.code in KILLED, killed.output
    assert orphans(run) == []
    resumed = launch(run, f"resume={run}")
    assert resumed.code == 0, resumed.output
    assert differences(run, reference, 2) == []


MOMENTS = [
    ("evaluation", 1),
    ("checkpoint", 1),
    ("rollout", 3),
    ("update", 2),
    ("sync", 2),
    ("score", 2),
    ("evaluation", 1),
    ("seal", 1),
    ("update", 2),
    ("evaluation", 1),
]
"""Phase, and its occurrence since the process began: one kill each, in one run of six steps.

Steps 0, 0, 2, 3, 3, 4, 4, 4, 5 and 6 are saved by then; the last evaluation is the final one.
"""


@pytest.mark.long
def test_ten_kills_at_random_moments_change_no_bit(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    reference = uninterrupted(tmp_path / "reference", 6)
    typical = {phase: min(found) for phase, found in phase_seconds(reference).items()}
    run, seed = tmp_path / "killed", random.randrange(2**32)
    moments = random.Random(seed)
    arguments: tuple[str, ...] = (*TINY, *NOISE, f"run.dir={run}", "num_steps=6")
    for phase, occurrence in MOMENTS:
        after = moments.uniform(0, typical[phase])
        killed = launch(
            run, *arguments,
            phase=phase, occurrence=occurrence, after_seconds=after, strike=KILL_GROUP,
        )  # fmt: skip
        assert killed.code in KILLED, killed.output
        assert orphans(run) == []
        done = [row["step"] for row in rows(run) if "loss" in row]
        with capsys.disabled():
            sys.stdout.write(f"\nkilled {after:.3f} s into {phase}, steps logged: {done}")
        arguments = (f"resume={run}",)
    resumed = launch(run, *arguments)
    assert resumed.code == 0, resumed.output
    assert differences(run, reference, 6) == [], f"moments drawn from seed {seed}"


@pytest.mark.long
def test_without_the_restored_generators_the_runs_differ(tmp_path: Path) -> None:
    reference = uninterrupted(tmp_path / "reference", 2)
    run = tmp_path / "killed"
    launch(
        run, *TINY, *NOISE, f"run.dir={run}", "num_steps=2",
        phase="rollout", occurrence=2, after_seconds=0, strike=KILL_GROUP,
    )  # fmt: skip
    resumed = launch(run, f"resume={run}", disable=["load_generators"])
    assert resumed.code == 0, resumed.output
    found = differences(run, reference, 2)
    assert "step 2: grad_norm" in found
    assert "step 2: rewards/torch/mean" not in found, "rank 0's generators are not the reward's"


@pytest.mark.long
def test_the_cost_of_the_mode(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Prints seconds per step, both ways, of the same recipe; asserts nothing about speed."""
    seconds = {}
    for deterministic in ("true", "false"):
        run = tmp_path / deterministic
        done = launch(
            run, "num_steps=6", "evaluation.num_problems=8", "log.wandb=off", f"run.dir={run}",
            f"deterministic={deterministic}",
        )  # fmt: skip
        assert done.code == 0, done.output
        steps = sorted(row["step_time"] for row in rows(run) if "loss" in row)
        seconds[deterministic] = steps[len(steps) // 2]
    with capsys.disabled():
        sys.stdout.write(
            f"\nmedian seconds per step, 32 x 8 completions: deterministic {seconds['true']:.3f}, "
            f"else {seconds['false']:.3f}"
        )
