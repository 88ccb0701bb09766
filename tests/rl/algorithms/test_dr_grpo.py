import pytest

from rl.algorithms.dr_grpo import DrGrpoConfig, dr_grpo, dr_grpo_advantages
from rl.config import Aggregation
from tests.rl.algorithms.scored import scored


def test_rewards_are_centred_and_not_scaled() -> None:
    assert dr_grpo_advantages([1, 0, 0, 0]) == [0.75, -0.25, -0.25, -0.25]


def test_advantage_is_zero_when_all_rewards_tie() -> None:
    assert dr_grpo_advantages([0.1, 0.1, 0.1]) == [0.0, 0.0, 0.0]


def test_every_group_has_its_own_mean() -> None:
    assert dr_grpo(DrGrpoConfig())(*scored([[0, 1], [4, 8]])) == [[-0.5, 0.5], [-2, 2]]


def test_loss_is_divided_by_a_constant_unless_the_recipe_says_otherwise() -> None:
    assert DrGrpoConfig().aggregation is Aggregation.sequence_mean_token_sum_norm
    chosen = DrGrpoConfig(aggregation=Aggregation.token_mean)
    assert chosen.aggregation is Aggregation.token_mean


def test_a_group_of_one_is_a_problem() -> None:
    (problem,) = DrGrpoConfig(group_size=1).problems()
    assert problem.startswith("algorithm.group_size=1")


def test_advantages_keep_the_scale_of_the_rewards() -> None:
    assert dr_grpo_advantages([0.99, 1.01]) == pytest.approx([-0.01, 0.01])
