"""PPO: advantages by GAE over the values of a critic, one lambda for all responses."""

from dataclasses import dataclass

import numpy as np

from rl.algorithms.actor_critic import Estimate, Responses
from rl.algorithms.gae import Floats, final_rewards, generalized_advantages, whitened
from rl.config import ActorCriticConfig


@dataclass(kw_only=True)
class PpoConfig(ActorCriticConfig):
    """Proximal policy optimization (arXiv:1707.06347) with a critic."""

    policy_lambda: float = 0.95
    """Lambda of the advantages; VC-PPO (arXiv:2503.01491) keeps 1 for the critic's targets."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.policy_lambda <= 1:
            found.append(f"algorithm.policy_lambda={self.policy_lambda}: set it in 0 to 1")
        return found


def ppo_advantages(responses: Responses, discount: float, traces: Floats) -> Floats:
    """GAE of finished responses, whitened over the trained tokens of the update [B, T].

    `traces` [B] are the rows' lambda.
    """
    advantages = generalized_advantages(
        final_rewards(responses.rewards, responses.trained),
        responses.values,
        np.zeros(len(responses.values)),
        responses.trained,
        discount,
        traces,
    )
    return whitened(advantages, responses.trained)


def ppo(config: PpoConfig) -> Estimate:
    """The advantages of an update under `config`."""

    def estimate(responses: Responses) -> Floats:
        traces = np.full(len(responses.values), config.policy_lambda)
        return ppo_advantages(responses, config.discount, traces)

    return estimate
