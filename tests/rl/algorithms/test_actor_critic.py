import numpy as np

from rl.algorithms.actor_critic import value_targets
from tests.rl.algorithms.valued import ALL, responses


def test_targets_are_the_rewards_that_came() -> None:
    found = value_targets(responses(), discount=1.0, target_lambda=1.0)
    np.testing.assert_allclose(found, [[1.0] * 4, [0.0] * 4], atol=1e-12)


def test_a_discount_makes_them_smaller_further_from_the_end() -> None:
    (row, _) = value_targets(responses(), discount=0.5, target_lambda=1.0)
    np.testing.assert_allclose(row, [0.125, 0.25, 0.5, 1.0])


def test_with_lambda_zero_they_are_the_next_values() -> None:
    (right, wrong) = value_targets(responses(), discount=1.0, target_lambda=0.0)
    np.testing.assert_allclose(right, [0.5, 0.4, 0.6, 1.0])
    np.testing.assert_allclose(wrong, [0.5, 0.4, 0.6, 0.0])


def test_they_cover_tokens_that_the_policy_does_not_train_on() -> None:
    trained = ALL.copy()
    trained[:, :2] = False
    found = value_targets(responses(trained=trained), discount=1.0, target_lambda=1.0)
    np.testing.assert_allclose(found, [[1.0] * 4, [0.0] * 4], atol=1e-12)
