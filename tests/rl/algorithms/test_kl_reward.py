import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.kl_reward import kl_to_go, less_penalties, penalised

log_ratios = st.lists(st.floats(-2, 2), min_size=1, max_size=9)


def test_a_token_pays_for_itself_and_for_all_that_follows() -> None:
    assert kl_to_go(np.array([0.5, -0.25, 1.0])).tolist() == [1.25, 0.75, 1.0]


@given(log_ratios)
def test_the_running_sum_equals_a_sum_for_each_token(ratios: list[float]) -> None:
    slow = [sum(ratios[t:]) for t in range(len(ratios))]
    np.testing.assert_allclose(kl_to_go(np.array(ratios)), slow, atol=1e-12)


@given(log_ratios, st.floats(-2, 2))
def test_earlier_tokens_change_nothing_for_later_ones(ratios: list[float], first: float) -> None:
    np.testing.assert_allclose(
        kl_to_go(np.array([first, *ratios]))[1:], kl_to_go(np.array(ratios)), atol=1e-12
    )


def test_returns_of_all_completions_are_spread_over_their_tokens() -> None:
    found = less_penalties(
        [[1.0], [2.0, 3.0]], [np.array([0.5]), np.array([0.0, 1.0]), np.zeros(0)]
    )
    assert [values.tolist() for values in found] == [[0.5], [2.0, 1.0], []]


def test_every_completion_needs_its_penalties() -> None:
    with pytest.raises(ValueError):
        less_penalties([[1.0, 2.0]], [np.zeros(1)])


def test_other_algorithms_take_the_penalties_off_their_advantages() -> None:
    found = penalised(GrpoConfig())([[0.7, -0.7]], [], [np.array([0.2, 0.1]), np.array([0.0])])
    assert [values.tolist() for values in found] == [pytest.approx([0.5, 0.6]), [-0.7]]
