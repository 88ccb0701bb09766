"""GMPO: the geometric mean of an answer's ratios, each of them clipped on its own."""

from dataclasses import dataclass
from typing import TYPE_CHECKING

from rl.algorithms.grpo import StandardisedConfig
from rl.algorithms.losses import bounded_exp, clip_metrics
from rl.algorithms.surrogate import PolicyLoss, TokenLosses
from rl.config import Aggregation

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


@dataclass(kw_only=True)
class GmpoConfig(StandardisedConfig):
    """Geometric-mean policy optimization (arXiv:2507.20673)."""

    log_clip_low: float = 0.4
    log_clip_high: float = 0.4
    """A token's log-ratio is clipped to [-log_clip_low, log_clip_high]."""
    aggregation: Aggregation = Aggregation.sequence_mean_token_mean

    def problems(self) -> list[str]:
        found = super().problems()
        if min(self.log_clip_low, self.log_clip_high) <= 0:
            found.append(
                f"algorithm.log_clip_low={self.log_clip_low}, algorithm.log_clip_high="
                f"{self.log_clip_high}: set both above 0, such as 0.4"
            )
        return found


def clipped_log_ratio(
    log_ratio: "Tensor", advantage: "Tensor", clip_low: float, clip_high: float
) -> "Tensor":
    """sgn(A) min(sgn(A) d, sgn(A) clip(d, -clip_low, clip_high)), per token; d is `log_ratio`.

    GMPO (arXiv:2507.20673): d is held from above where A > 0 and from below where A < 0.
    """
    sign = advantage.sign()
    return sign * (sign * log_ratio).minimum(sign * log_ratio.clamp(-clip_low, clip_high))


def gmpo(config: GmpoConfig) -> PolicyLoss:
    """-exp(mean_t d_t) A with d_t the answer's clipped log-ratios, at each of its tokens."""
    low, high = config.log_clip_low, config.log_clip_high

    def loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        log_ratio, advantage = logprobs - old_logprobs, flat.advantages
        means = flat.row_means(clipped_log_ratio(log_ratio, advantage, low, high))
        metrics = clip_metrics(
            (log_ratio < -low) & (advantage < 0), (log_ratio > high) & (advantage > 0)
        )
        losses = -bounded_exp(means)[flat.rows] * advantage
        return TokenLosses(losses, bounded_exp(log_ratio), metrics)

    return loss
