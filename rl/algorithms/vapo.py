"""VAPO: PPO whose trace grows with the response, on a critic that is trained first.

The paper's seven parts are length-adaptive and decoupled GAE, value pre-training
(`critic.warmup_steps`), clip-higher, the token-level loss and the language-model loss on right
answers (`rl.algorithms.losses.positive_example_nll`), which are the defaults, and group sampling.
"""

from dataclasses import dataclass

from rl.algorithms.actor_critic import Estimate, Responses
from rl.algorithms.gae import Floats, length_adaptive_traces
from rl.algorithms.ppo import ppo_advantages
from rl.config import ActorCriticConfig


@dataclass(kw_only=True)
class VapoConfig(ActorCriticConfig):
    """Value-based augmented PPO (arXiv:2504.05118)."""

    positive_coefficient: float = 0.1
    lambda_alpha: float = 0.05
    """The trace's weights sum to this times the response's length."""
    lambda_floor: float = 0.0
    """Smallest lambda, for responses that are short."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.lambda_alpha <= 0:
            found.append(f"algorithm.lambda_alpha={self.lambda_alpha}: set it above 0")
        if not 0 <= self.lambda_floor <= 1:
            found.append(f"algorithm.lambda_floor={self.lambda_floor}: set it in 0 to 1")
        return found


def vapo(config: VapoConfig) -> Estimate:
    """The advantages of an update under `config`."""

    def estimate(responses: Responses) -> Floats:
        traces = length_adaptive_traces(responses.lengths, config.lambda_alpha, config.lambda_floor)
        return ppo_advantages(responses, config.discount, traces)

    return estimate
