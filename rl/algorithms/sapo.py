"""SAPO: a sigmoid of the ratio in the place of a clip, steeper where the advantage is negative."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rl.algorithms.grpo import StandardisedConfig
from rl.algorithms.losses import importance_ratio
from rl.algorithms.surrogate import PolicyLoss, TokenLosses
from rl.config import Aggregation

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


@dataclass(kw_only=True)
class SapoConfig(StandardisedConfig):
    """Soft adaptive policy optimization (arXiv:2511.20347)."""

    temperature_positive: float = 1.0
    temperature_negative: float = 1.05
    """Steepness of the gate where A > 0 and where A < 0: the larger, the sooner a token that has
    moved loses its gradient."""
    aggregation: Aggregation = Aggregation.sequence_mean_token_mean

    def problems(self) -> list[str]:
        found = super().problems()
        if min(self.temperature_positive, self.temperature_negative) <= 0:
            found.append(
                f"algorithm.temperature_positive={self.temperature_positive}, algorithm."
                f"temperature_negative={self.temperature_negative}: set both above 0, such as 1"
            )
        return found


def soft_gate(ratio: "Tensor", temperature: float) -> "Tensor":
    """f(r) = 4 / tau sigmoid(tau (r - 1)), tau = temperature; its slope at r = 1 is 1.

    SAPO (arXiv:2511.20347).
    """
    return 4 / temperature * (temperature * (ratio - 1)).sigmoid()


def soft_surrogate(
    ratio: "Tensor", advantage: "Tensor", temperature_positive: float, temperature_negative: float
) -> "Tensor":
    """-f(r) A, per token, not yet averaged: `soft_gate` at the temperature of the sign of A.

    SAPO (arXiv:2511.20347). All tensors [B, T] or [N].
    """
    gain = soft_gate(ratio, temperature_positive) * advantage.clamp(min=0)
    pain = soft_gate(ratio, temperature_negative) * advantage.clamp(max=0)
    return -(gain + pain)


def sapo(config: SapoConfig) -> PolicyLoss:
    """`soft_surrogate` of the tokens' ratios."""
    temperatures = (config.temperature_positive, config.temperature_negative)

    def loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        ratio = importance_ratio(logprobs, old_logprobs)
        return TokenLosses(soft_surrogate(ratio, flat.advantages, *temperatures), ratio, {})

    return loss
