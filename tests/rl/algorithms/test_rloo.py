import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.rloo import RlooConfig, rloo, rloo_advantages
from tests.rl.algorithms.scored import scored


def test_one_right_answer_of_four() -> None:
    # the right one: 1 - 0; a wrong one: 0 - 1/3
    assert rloo_advantages([1, 0, 0, 0]) == pytest.approx([1, -1 / 3, -1 / 3, -1 / 3])


def test_advantage_is_zero_when_all_rewards_tie() -> None:
    assert rloo_advantages([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]


def test_groups_are_independent() -> None:
    assert rloo(RlooConfig())(*scored([[0, 1], [4, 8]])) == [[-1, 1], [-4, 4]]


@given(st.lists(st.floats(-10, 10), min_size=2, max_size=16))
def test_baseline_is_the_mean_of_the_others(rewards: list[float]) -> None:
    slow = [
        reward - sum(rewards[:i] + rewards[i + 1 :]) / (len(rewards) - 1)
        for i, reward in enumerate(rewards)
    ]
    assert rloo_advantages(rewards) == pytest.approx(slow, abs=1e-9)
