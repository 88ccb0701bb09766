"""CISPO: the weight of a token is cut, never its gradient."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rl.algorithms.grpo import StandardisedConfig
from rl.algorithms.losses import importance_ratio
from rl.algorithms.surrogate import PolicyLoss, TokenLosses

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


@dataclass(kw_only=True)
class CispoConfig(StandardisedConfig):
    """Clipped importance sampling policy optimization (MiniMax-M1, arXiv:2506.13585)."""

    ratio_cap: float = 5.0
    """Largest importance weight of a token."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.ratio_cap < 1:
            found.append(f"algorithm.ratio_cap={self.ratio_cap}: set it to 1 or more, such as 5")
        return found


def capped_reinforce(
    ratio: "Tensor", logprobs: "Tensor", advantage: "Tensor", ratio_cap: float
) -> "Tensor":
    """-sg(min(r, ratio_cap)) A log pi, per token, not yet averaged; sg carries no gradient.

    CISPO (arXiv:2506.13585), bounded from above only. All tensors [B, T] or [N].
    """
    return -(ratio.clamp(max=ratio_cap).detach() * advantage * logprobs)


def cispo(config: CispoConfig) -> PolicyLoss:
    """`capped_reinforce` of the tokens' ratios."""

    def loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        ratio = importance_ratio(logprobs, old_logprobs)
        losses = capped_reinforce(ratio, logprobs, flat.advantages, config.ratio_cap)
        is_capped = (ratio > config.ratio_cap).float()
        return TokenLosses(losses, ratio, {"clip_ratio/high_mean": is_capped})

    return loss
