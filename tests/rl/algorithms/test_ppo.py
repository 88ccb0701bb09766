"""PPO and VAPO, from values to whitened advantages; both responses have the values of the spec."""

from typing import Any

import numpy as np
import pytest

from rl.algorithms.actor_critic import Responses, value_targets
from rl.algorithms.gae import Floats, whitened
from rl.algorithms.ppo import PpoConfig, ppo
from rl.algorithms.vapo import VapoConfig, vapo
from rl.config import CriticConfig

VALUES = np.array([[0.2, 0.5, 0.4, 0.6], [0.2, 0.5, 0.4, 0.6]])
ALL = np.ones((2, 4), np.bool_)


def responses(**changed: Any) -> Responses:
    """A right response and a wrong one of four tokens."""
    found: dict[str, Any] = {
        "rewards": np.array([1.0, 0.0]),
        "values": VALUES,
        "after": np.array([9.0, 9.0]),
        "sampled": ALL,
        "trained": ALL,
        "finished": np.array([True, True]),
        "lengths": np.array([4.0, 4.0]),
    }
    return Responses(**found | changed)


RIGHT = np.array([0.6636, 0.404, 0.56, 0.4])
WRONG = RIGHT - 0.9 ** np.arange(3, -1, -1)
"""The reward of 1 at the last token is missing in each of the four sums."""


def test_ppo_whitens_gae_over_the_update() -> None:
    found = ppo(PpoConfig(policy_lambda=0.9))(responses())
    np.testing.assert_allclose(found, whitened(np.stack([RIGHT, WRONG]), ALL), atol=1e-12)


def test_vapo_has_a_trace_for_each_length() -> None:
    # 1 - 1 / (0.05 l): 0.9 for 200 tokens, 0.5 for 40.
    lengths = np.array([200.0, 40.0])
    found = vapo(VapoConfig())(responses(lengths=lengths))
    deltas = np.array([0.3, -0.1, 0.2, -0.6])
    half = [0.3 - 0.05 + 0.05 - 0.075, -0.1 + 0.1 - 0.15, 0.2 - 0.3, -0.6]
    assert deltas[-1] == half[-1]
    np.testing.assert_allclose(found, whitened(np.stack([RIGHT, half]), ALL), atol=1e-12)


def test_vapo_keeps_to_its_floor() -> None:
    floored = vapo(VapoConfig(lambda_floor=0.9))(responses())
    np.testing.assert_allclose(floored, ppo(PpoConfig(policy_lambda=0.9))(responses()))


def test_targets_are_the_rewards_that_came_unless_they_are_bootstrapped() -> None:
    found = value_targets(responses(), discount=1.0, target_lambda=1.0)
    np.testing.assert_allclose(found, [[1.0] * 4, [0.0] * 4], atol=1e-12)
    # lambda 0: the next value, and the reward at the end
    (row, _) = value_targets(responses(), discount=1.0, target_lambda=0.0)
    np.testing.assert_allclose(row, [0.5, 0.4, 0.6, 1.0])


def test_targets_cover_tokens_that_the_policy_does_not_train_on() -> None:
    trained = ALL.copy()
    trained[:, :2] = False
    found: Floats = value_targets(responses(trained=trained), discount=1.0, target_lambda=1.0)
    np.testing.assert_allclose(found, [[1.0] * 4, [0.0] * 4], atol=1e-12)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (PpoConfig(policy_lambda=1.1), "algorithm.policy_lambda=1.1: set it in 0 to 1"),
        (PpoConfig(discount=0.0), "algorithm.discount=0.0: set 0 < algorithm.discount <= 1"),
        (VapoConfig(lambda_alpha=0.0), "algorithm.lambda_alpha=0.0: set it above 0"),
        (VapoConfig(lambda_floor=-0.1), "algorithm.lambda_floor=-0.1: set it in 0 to 1"),
        (
            PpoConfig(critic=CriticConfig(warmup_steps=-1)),
            "algorithm.critic.warmup_steps=-1: set it to 0 or more",
        ),
        (
            PpoConfig(critic=CriticConfig(clip_high=0.0)),
            "algorithm.critic.clip_low=0.5, algorithm.critic.clip_high=0.0: set both above 0",
        ),
        (
            PpoConfig(critic=CriticConfig(learning_rate=0.0)),
            "algorithm.critic.learning_rate=0.0: set it above 0",
        ),
        (
            PpoConfig(critic=CriticConfig(target_lambda=2.0)),
            "algorithm.critic.target_lambda=2.0: set it in 0 to 1",
        ),
    ],
)
def test_what_is_wrong_is_said(config: PpoConfig | VapoConfig, problem: str) -> None:
    assert config.problems() == [problem]
    assert type(config)().problems() == []
