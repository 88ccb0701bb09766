"""Golden values: rewards [1 0], two and one tokens, penalties [0.25 0] and [0]."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.dler import token_whitened, whitened_over_tokens
from rl.algorithms.reinforce_pp import (
    ReinforcePpBaselineConfig,
    ReinforcePpConfig,
    reinforce_pp,
    reinforce_pp_baseline,
    reinforce_pp_baseline_penalised,
    reinforce_pp_penalised,
    whitened,
)
from tests.rl.algorithms.scored import scored

REWARDS, LENGTHS = [[1.0, 0.0], [1.0, 1.0]], [[2, 1], [1, 3]]
FREE = [np.zeros(length) for group in LENGTHS for length in group]


def test_defaults_are_a_symmetric_clip_and_kl_in_the_reward_of_the_plain_variant() -> None:
    plain, baseline = ReinforcePpConfig(), ReinforcePpBaselineConfig()
    assert (
        (plain.clip_low, plain.clip_high) == (baseline.clip_low, baseline.clip_high) == (0.2, 0.2)
    )
    assert plain.kl_reward_coefficient == 0.01 and plain.needs_reference
    assert baseline.kl_reward_coefficient == 0 and not baseline.needs_reference
    assert plain.problems() == baseline.problems() == []


def test_golden_values_with_penalties() -> None:
    # 0.75, 1 and 0: mean 7/12, variance with Bessel's correction 13/48.
    _, scores = scored([[1.0, 0.0]])
    penalties = [np.array([0.25, 0.0]), np.array([0.0])]
    first, second = reinforce_pp_penalised(ReinforcePpConfig())([[9.0, 9.0]], scores, penalties)
    scale = (13 / 48 + 1e-8) ** 0.5
    assert first.tolist() == pytest.approx([2 / 12 / scale, 5 / 12 / scale])
    assert second.tolist() == pytest.approx([-7 / 12 / scale])


def test_the_baseline_is_taken_off_before_the_penalties() -> None:
    # 0.5 - 0.25, 0.5 and -0.5: mean 1/12, variance 13/48.
    _, scores = scored([[1.0, 0.0]])
    penalties = [np.array([0.25, 0.0]), np.array([0.0])]
    formula = reinforce_pp_baseline_penalised(ReinforcePpBaselineConfig())
    first, second = formula([[9.0, 9.0]], scores, penalties)
    scale = (13 / 48 + 1e-8) ** 0.5
    assert first.tolist() == pytest.approx([2 / 12 / scale, 5 / 12 / scale])
    assert second.tolist() == pytest.approx([-7 / 12 / scale])
    # A group that ties gives 0 with a baseline, and less than nothing where it pays.
    _, tied = scored([[1.0, 1.0], [1.0, 0.0]])
    none = [np.zeros(1)] * 4
    assert formula([], tied, none)[0].tolist() == [0.0]
    assert reinforce_pp_penalised(ReinforcePpConfig())([], tied, none)[0].tolist() != [0.0]


def test_without_penalties_the_tokens_have_the_advantages_of_their_completion() -> None:
    groups, scores = scored(REWARDS, LENGTHS)
    for whole, by_token in (
        (
            reinforce_pp(ReinforcePpConfig())(groups, scores),
            reinforce_pp_penalised(ReinforcePpConfig())([], scores, FREE),
        ),
        (
            reinforce_pp_baseline(ReinforcePpBaselineConfig())(groups, scores),
            reinforce_pp_baseline_penalised(ReinforcePpBaselineConfig())([], scores, FREE),
        ),
    ):
        expected = [value for group in whole for value in group]
        for value, tokens in zip(expected, by_token, strict=True):
            np.testing.assert_allclose(tokens, value, rtol=1e-9)


def test_the_two_variants_differ_by_the_baseline_of_the_group() -> None:
    update = scored(REWARDS, LENGTHS)
    assert reinforce_pp(ReinforcePpConfig())(*update) == token_whitened(REWARDS, LENGTHS)
    assert reinforce_pp_baseline(ReinforcePpBaselineConfig())(*update) == whitened_over_tokens(
        REWARDS, LENGTHS
    )


batches = st.lists(
    st.lists(st.floats(-3, 3, width=16), min_size=1, max_size=5), min_size=2, max_size=5
)


@given(batches)
def test_whitening_is_numpys_over_all_tokens(batch: list[list[float]]) -> None:
    values = [np.array(row) for row in batch]
    every = np.concatenate(values)
    slow = (every - every.mean()) / np.sqrt(every.var(ddof=1) + 1e-8)
    np.testing.assert_allclose(np.concatenate(whitened(values)), slow, rtol=1e-6, atol=1e-6)


@given(batches, st.floats(-5, 5, width=16))
def test_shifting_all_rewards_changes_no_advantage(batch: list[list[float]], shift: float) -> None:
    values = [np.array(row) for row in batch]
    ours = np.concatenate(whitened([row + shift for row in values]))
    np.testing.assert_allclose(ours, np.concatenate(whitened(values)), atol=1e-6)


def test_a_lone_token_and_two_tokens() -> None:
    assert whitened([np.array([3.0])])[0].tolist() == [0.0]
    # +-0.5, variance 0.5 with Bessel's correction
    first, second = whitened([np.array([1.0]), np.array([0.0])])
    assert [first[0], second[0]] == pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-6)


def test_epsilon_is_added_to_the_variance() -> None:
    # +-5e-5, variance 5e-9
    assert whitened([np.array([1e-4, 0.0])])[0][0] == pytest.approx(5e-5 / 1.5e-8**0.5)
