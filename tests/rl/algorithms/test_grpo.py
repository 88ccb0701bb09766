import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.grpo import GrpoConfig, grpo, grpo_advantages
from tests.rl.algorithms.scored import scored

REWARDS = st.lists(st.floats(-10, 10, width=32), min_size=2, max_size=16)


def test_one_right_answer_of_four() -> None:
    # mean 0.25, std sqrt((0.5625 + 3 * 0.0625) / 3) = 0.5
    assert grpo_advantages([1, 0, 0, 0]) == pytest.approx([1.5, -0.5, -0.5, -0.5], rel=1e-5)


def test_epsilon_is_added_to_the_standard_deviation() -> None:
    assert grpo_advantages([1, 0, 0, 0], eps=0.5) == pytest.approx([0.75, -0.25, -0.25, -0.25])


def test_default_epsilon_is_a_millionth() -> None:
    assert grpo_advantages([1e-6, 0.0])[0] == pytest.approx(0.5 / (2**-0.5 + 1), rel=1e-9)


def test_advantage_is_zero_when_all_rewards_tie() -> None:
    assert grpo_advantages([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]


def test_std_floor_keeps_length_noise_small() -> None:
    # deviations of 0.01 and a std of 0.01 * sqrt(2): the floor of 0.1 replaces the std
    assert grpo_advantages([0.99, 1.01], std_floor=0.1) == pytest.approx([-0.1, 0.1], rel=1e-4)


def test_std_floor_does_not_touch_a_wide_group() -> None:
    assert grpo_advantages([0, 1], std_floor=0.1) == grpo_advantages([0, 1])


def test_batch_is_treated_group_by_group_with_the_configured_floor() -> None:
    advantages = grpo(GrpoConfig(std_floor=0.1))(*scored([[0, 1], [0.99, 1.01, 1.0]]))
    assert advantages[0] == grpo_advantages([0, 1], std_floor=0.1)
    assert advantages[1] == grpo_advantages([0.99, 1.01, 1.0], std_floor=0.1)


def test_the_paper_has_no_floor_and_is_the_default() -> None:
    assert grpo(GrpoConfig())(*scored([[0.99, 1.01]])) == [grpo_advantages([0.99, 1.01])]
    assert grpo_advantages([0.99, 1.01])[1] == pytest.approx(2**-0.5, rel=1e-3)


def test_negative_floor_is_a_problem_and_zero_is_not() -> None:
    assert GrpoConfig().problems() == []
    (problem,) = GrpoConfig(std_floor=-0.1).problems()
    assert "algorithm.std_floor=-0.1" in problem


@given(REWARDS, st.floats(-10, 10, width=32))
def test_shifting_all_rewards_changes_no_advantage(rewards: list[float], shift: float) -> None:
    shifted = [reward + shift for reward in rewards]
    np.testing.assert_allclose(
        grpo_advantages(shifted, std_floor=0.1),
        grpo_advantages(rewards, std_floor=0.1),
        atol=1e-9,
    )


@given(st.permutations([0.0, 0.5, 1.0, 3.0]))
def test_permuting_a_group_permutes_its_advantages(rewards: list[float]) -> None:
    expected = dict(zip([0.0, 0.5, 1.0, 3.0], grpo_advantages([0.0, 0.5, 1.0, 3.0]), strict=True))
    assert grpo_advantages(rewards) == pytest.approx([expected[reward] for reward in rewards])


@given(REWARDS)
def test_advantages_of_a_group_sum_to_zero(rewards: list[float]) -> None:
    assert sum(grpo_advantages(rewards)) == pytest.approx(0, abs=1e-6)
