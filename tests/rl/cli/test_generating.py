"""From a recipe's options to how the stream samples, and what a run logs of its drafts."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest

from data.config import ModelConfig
from data.memory import PromptMemory
from rl.cli.generating import draft_counts, predicting, stream_settings, windows
from rl.config import RunConfig
from rollout.config import (
    ReplayConfig,
    RolloutConfig,
    Speculation,
    TransformersConfig,
    VllmConfig,
)
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineLost, Sampling
from rollout.scheduling.length_history import LengthHistory
from tests.fakes import FakeEngine
from tests.rl.builders import completion, group, prompt

HISTORY = RunConfig(rollout=VllmConfig(speculation=Speculation.history))
COUNTED = Acceptance(verifications=3, drafted_at=[2], accepted_at=[1])


def run_config(**options: Any) -> RunConfig:
    return RunConfig(
        model=ModelConfig(path="lab:short"), prompts_per_step=8, rollout=VllmConfig(**options)
    )


@pytest.mark.parametrize(
    ("options", "ahead", "cuts"),
    [
        ({}, 0, False),
        ({"max_staleness": 2}, 16, False),
        ({"max_staleness": 1, "oversample": 1.25}, 2, True),
        ({"max_staleness": 3, "oversample": 1.5}, 4, True),
    ],
)
def test_a_cut_step_runs_its_spare_groups_and_no_more(
    options: dict[str, Any], ahead: int, cuts: bool
) -> None:
    settings = stream_settings(run_config(**options))
    assert (settings.groups_ahead, settings.cuts) == (ahead, cuts)


def test_recorded_answers_are_never_too_old() -> None:
    config = replace(run_config(), rollout=ReplayConfig(), num_steps=30)
    settings = stream_settings(config)
    assert (settings.max_staleness, settings.groups_ahead) == (30, 0)


@pytest.mark.parametrize(
    ("rollout", "cut_anywhere"),
    [
        (RolloutConfig(), False),
        (RolloutConfig(max_staleness=1), False),
        (RolloutConfig(max_staleness=1, oversample=1.5), True),
        (RolloutConfig(max_staleness=1, window_tokens=64), True),
    ],
)
def test_only_what_is_cut_goes_through_the_windowed_engine(
    rollout: RolloutConfig, cut_anywhere: bool
) -> None:
    found = windows(replace(run_config(), rollout=rollout), FakeEngine())
    assert (found is not None) == cut_anywhere


def test_replicas_are_chosen_by_predicted_lengths_within_the_limit() -> None:
    lengths = LengthHistory(PromptMemory())
    predict = predicting(lengths)
    asked = Sampling(id="r", limit=16)
    assert predict(prompt("a"), asked) == 16
    lengths.observe([group("a", completion("0", 4), completion("1", 4))])
    assert predict(prompt("a"), asked) == 4
    assert predict(prompt("a"), Sampling(id="r", limit=3)) == 3


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
