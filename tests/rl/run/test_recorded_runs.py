"""Guards on recorded runs of the lab: silent on healthy ones, in time on one that loses its way.

`recorded/<name>/metrics.jsonl` holds, of each training step, the columns that the guards read:

- seed0, seed1, seed2: `torchrun recipes/quickstart.yaml seed=N`
- lr_1e-3: `torchrun recipes/quickstart.yaml learner.learning_rate=1e-3
  guards.accuracy_fall.action=warn`, so that it ran on after its alarm
"""

from pathlib import Path

import pytest

from rl.run.config import GuardsConfig
from rl.run.guards import alarms, read_history

RECORDED = Path(__file__).parent / "recorded"


def rung(name: str) -> dict[str, int]:
    """The first step at which each guard rang."""
    history = read_history(RECORDED / name)
    first: dict[str, int] = {}
    for end in range(1, len(history) + 1):
        for alarm in alarms(history[:end], GuardsConfig()):
            first.setdefault(alarm.guard, end)
    return first


@pytest.mark.parametrize("name", ["seed0", "seed1", "seed2"])
def test_a_healthy_run_raises_no_alarm(name: str) -> None:
    assert len(read_history(RECORDED / name)) == 30
    assert rung(name) == {}


def test_too_high_a_learning_rate_is_caught_before_accuracy_has_halved() -> None:
    accuracy = [row["accuracy"] for row in read_history(RECORDED / "lr_1e-3")]
    step = rung("lr_1e-3")["accuracy_fall"]
    assert step == 2
    assert 0.5 * accuracy[0] < min(accuracy[:step]) < 0.65 * accuracy[0]
