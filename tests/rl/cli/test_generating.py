"""What a run logs of its drafts, and that it asks for nothing where nothing is drafted."""

from types import SimpleNamespace

import pytest

from rl.cli.generating import draft_counts
from rl.config import RunConfig
from rollout.config import RolloutConfig, Speculation, TransformersConfig, VllmConfig
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineLost

HISTORY = RunConfig(rollout=VllmConfig(speculation=Speculation.history))
COUNTED = Acceptance(verifications=3, drafted_at=[2], accepted_at=[1])


class Engine:
    """Counts once; then it is lost."""

    def __init__(self) -> None:
        self.counted = [COUNTED]

    def draft_acceptance(self) -> Acceptance:
        if not self.counted:
            raise EngineLost("killed")
        return self.counted.pop()


def test_drafts_of_the_engine_that_runs_are_counted_and_those_of_a_lost_one_are_not() -> None:
    counts = draft_counts(HISTORY, SimpleNamespace(engine=Engine()))
    assert [counts(), counts()] == [COUNTED, Acceptance()]


@pytest.mark.parametrize(
    "rollout", [VllmConfig(), VllmConfig(speculation=Speculation.suffix), TransformersConfig()]
)
def test_an_engine_without_our_drafts_is_not_asked(rollout: RolloutConfig) -> None:
    engine = SimpleNamespace(engine=Engine())
    assert draft_counts(RunConfig(rollout=rollout), engine)() == Acceptance()
    assert engine.engine.counted == [COUNTED]
