import numpy as np
import pytest

from rl.algorithms.gae import whitened
from rl.algorithms.ppo import PpoConfig, ppo
from rl.config import CriticConfig
from tests.rl.algorithms.valued import ALL, RIGHT, responses


def test_ppo_whitens_gae_over_the_update() -> None:
    # The wrong response lacks the reward of 1 in each of the four sums.
    wrong = RIGHT - 0.9 ** np.arange(3, -1, -1)
    found = ppo(PpoConfig(policy_lambda=0.9))(responses())
    np.testing.assert_allclose(found, whitened(np.stack([RIGHT, wrong]), ALL), atol=1e-12)


def test_a_discount_counts_the_next_value_less() -> None:
    # lambda 0: 0.5 V' - V before the end, then R - V.
    found = ppo(PpoConfig(policy_lambda=0.0, discount=0.5))(responses())
    plain = np.array([[0.05, -0.3, -0.1, 0.4], [0.05, -0.3, -0.1, -0.6]])
    np.testing.assert_allclose(found, whitened(plain, ALL), atol=1e-12)


@pytest.mark.parametrize("trace", [0.0, 1.0])
def test_traces_at_the_ends_are_allowed(trace: float) -> None:
    critic = CriticConfig(target_lambda=trace, warmup_steps=0)
    assert PpoConfig(policy_lambda=trace, critic=critic).problems() == []


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (PpoConfig(policy_lambda=1.1), "algorithm.policy_lambda=1.1: set it in 0 to 1"),
        (PpoConfig(policy_lambda=-0.1), "algorithm.policy_lambda=-0.1: set it in 0 to 1"),
        (PpoConfig(discount=0.0), "algorithm.discount=0.0: set 0 < algorithm.discount <= 1"),
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
def test_what_is_wrong_is_said(config: PpoConfig, problem: str) -> None:
    assert config.problems() == [problem]
