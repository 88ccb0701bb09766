"""What the windows benchmark computes and sets up, without running a contender."""

import pytest

from rl.bench.step import RECIPE
from rl.bench.windows import (
    CONTENDERS,
    LIMIT,
    STALENESS,
    WINDOW,
    Measured,
    described,
    measured,
    overrides,
)
from rl.cli.compose import compose
from rl.cli.machine import Machine


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_is_a_run_that_may_start(name: str) -> None:
    config = compose(RECIPE, overrides(name, 5, seed=2), Machine(num_cores=2, num_gpus=0)).config
    assert (config.num_steps, config.seed) == (10, 2)
    assert config.model.path == config.data.path == "lab:long"
    assert config.limit.max_response_tokens == LIMIT
    assert config.rollout.window_tokens == (WINDOW if name == "windows" else 0)
    assert config.rollout.max_staleness == (0 if name == "full" else STALENESS)


def test_no_answer_outlives_its_staleness() -> None:
    assert WINDOW * STALENESS >= LIMIT


def row(tokens: float, idle: float, running: float) -> dict[str, float]:
    return {
        "step_tokens": tokens,
        "rollout/idle_share": idle,
        "rollout/mean_running": running,
    }


def test_only_the_last_steps_count() -> None:
    rows = [row(9e9, 1.0, 0.0), row(9e9, 1.0, 0.0), row(100, 0.25, 4), row(300, 0.75, 8)]
    assert measured([10.0, 50.0, 51.0, 56.0], rows, 2) == Measured(
        seconds=3.0, tokens=200, idle_share=0.5, running=6
    )


def test_seconds_are_also_told_by_the_tokens_that_they_trained() -> None:
    found = described(
        [
            Measured(seconds=2.0, tokens=1000, idle_share=0.5, running=3.0),
            Measured(seconds=4.0, tokens=5000, idle_share=0.5, running=4.0),
        ]
    )
    assert found == {
        "seconds": [2.0, 4.0],
        "trained_tokens": 3000,
        "mean_running": 3.5,
        "seconds_per_1000_tokens": 1.0,
    }
