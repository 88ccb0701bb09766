import json
from statistics import fmean

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Verdict
from rewards.correct import correct_reward
from rewards.length.sigmoid import SigmoidConfig, build_reward
from rl.algorithms.dynamic_sampling import (
    Oversampling,
    outcomes_differ,
    oversampling_factor,
    rewards_differ,
)
from rl.algorithms.grpo import GrpoConfig
from rl.config import OversamplingConfig
from tests.rewards.groups import group, verdicts

DOT = {"initial": 1.5, "lowest": 1.2, "highest": 5.0}
SHARES = st.lists(st.floats(0, 1), min_size=1, max_size=20)


@pytest.mark.parametrize(
    ("outcomes", "kept"),
    [
        ([True, False], True),
        ([False, False, True], True),
        ([True, True], False),
        ([False, False], False),
        ([True, None], False),
        ([False, None], False),
        ([True, False, None], True),
        ([], False),
    ],
)
def test_a_group_is_kept_when_some_are_right_and_some_wrong(
    outcomes: list[bool | None], kept: bool
) -> None:
    verdicts = [Verdict(correct=outcome) for outcome in outcomes]
    assert outcomes_differ(group("p", [1] * len(verdicts)), verdicts) is kept


def test_a_group_is_kept_when_its_shaped_rewards_differ() -> None:
    shaped = build_reward(SigmoidConfig())
    assert rewards_differ(group("p", [10, 20]), verdicts([True, True]), shaped)
    assert not rewards_differ(group("p", [10, 10]), verdicts([True, True]), shaped)
    assert not rewards_differ(group("p", [10, 20]), verdicts([True, True]), correct_reward)
    assert not rewards_differ(group("p", [10, 20]), verdicts([False, False]), correct_reward)


def test_worked_examples_of_the_factor() -> None:
    # mean 0.5; the population std of 0.25 and 0.75 is 0.25
    assert oversampling_factor([0.5, 0.5], **DOT) == 2.0
    assert oversampling_factor([0.25, 0.75], **DOT) == 2.5


def test_the_first_step_has_nothing_to_predict_from() -> None:
    assert oversampling_factor([], **DOT) == 1.5


def test_the_factor_stays_within_its_bounds() -> None:
    assert oversampling_factor([1.0], **DOT) == 1.2
    assert oversampling_factor([0.1], **DOT) == 5.0
    assert oversampling_factor([0.0, 0.0], **DOT) == 5.0


@given(SHARES)
def test_the_factor_is_at_least_what_the_mean_share_asks_for(shares: list[float]) -> None:
    factor = oversampling_factor(shares, initial=1.0, lowest=0.0, highest=1e9)
    assert factor * fmean(shares) >= 1 - 1e-9 or factor == 1e9


def test_without_oversampling_as_many_prompts_are_drawn_as_groups_are_missing() -> None:
    oversampling = Oversampling(OversamplingConfig())
    assert oversampling.num_prompts(32) == 32
    oversampling.observe(0.1)
    assert oversampling.num_prompts(32) == 32


def test_prompts_are_the_factor_rounded_down() -> None:
    oversampling = Oversampling(OversamplingConfig(**DOT))
    assert oversampling.num_prompts(33) == 49
    oversampling.observe(0.5)
    assert oversampling.num_prompts(32) == 64


def test_only_the_latest_steps_are_remembered() -> None:
    oversampling = Oversampling(OversamplingConfig(**DOT, history_steps=2))
    for share in (0.1, 0.5, 0.5):
        oversampling.observe(share)
    assert oversampling.num_prompts(32) == 64


def test_a_checkpoint_keeps_the_history() -> None:
    oversampling = Oversampling(OversamplingConfig(**DOT, history_steps=2))
    for share in (1.0, 0.4, 0.6):
        oversampling.observe(share)
    resumed = Oversampling(OversamplingConfig(**DOT, history_steps=2))
    resumed.load(json.loads(json.dumps(oversampling.state())))
    for share in (0.2, 0.3):
        assert resumed.num_prompts(1000) == oversampling.num_prompts(1000)
        resumed.observe(share)
        oversampling.observe(share)
    assert resumed.state() == oversampling.state() == {"kept_shares": [0.2, 0.3]}


@pytest.mark.parametrize(
    "wrong",
    [
        {"history_steps": 0},
        {"initial": 0.9},
        {"lowest": 0.9},
        {"lowest": 2.0, "highest": 1.9},
    ],
)
def test_options_that_would_ask_for_too_few_are_problems(wrong: dict[str, float]) -> None:
    (problem,) = OversamplingConfig(**wrong).problems()
    assert problem.startswith("algorithm.oversampling")
    assert (
        problem
        in GrpoConfig(dynamic_sampling=True, oversampling=OversamplingConfig(**wrong)).problems()
    )


def test_bounds_that_touch_are_no_problem() -> None:
    assert (
        OversamplingConfig(history_steps=1, initial=1.0, lowest=1.2, highest=1.2).problems() == []
    )


@pytest.mark.parametrize("more", [{"initial": 1.5}, {"highest": 2.0}])
def test_oversampling_needs_dynamic_sampling(more: dict[str, float]) -> None:
    config = GrpoConfig(oversampling=OversamplingConfig(**more))
    (problem,) = config.problems()
    assert problem.startswith("algorithm.oversampling without algorithm.dynamic_sampling")
    assert GrpoConfig(dynamic_sampling=True, oversampling=config.oversampling).problems() == []
