"""What a policy loss looks like to the learner, and PPO's, whose ratio a method may choose.

PyTorch is not imported when this runs, so that options are known before it loads; likewise in the
modules of the methods.
"""

from collections.abc import Callable
from typing import TYPE_CHECKING, NamedTuple

from rl.algorithms.losses import (
    clipped_surrogate,
    dual_clip_metrics,
    dual_clipped_surrogate,
    importance_ratio,
    surrogate_metrics,
)
from rl.config import ClippedConfig

if TYPE_CHECKING:
    from torch import Tensor

    from rl.learner.flat import FlatRows


class TokenLosses(NamedTuple):
    """Losses [N] of the policy, not yet averaged, and what they report per token [N].

    `ratio` is the importance ratio that they weigh by; `metrics` are values to log the means of.
    """

    losses: "Tensor"
    ratio: "Tensor"
    metrics: dict[str, "Tensor"]


PolicyLoss = Callable[["FlatRows", "Tensor", "Tensor"], TokenLosses]
"""From a micro-batch, log-probs and those at the start of the update, all [N], to losses."""

Ratio = Callable[["FlatRows", "Tensor", "Tensor"], "Tensor"]
"""From the same to ratios [N]."""


def token_ratio(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> "Tensor":
    """r_t = exp(log policy - log old policy), token by token."""
    return importance_ratio(logprobs, old_logprobs)


def clipped(config: ClippedConfig, ratio_of: Ratio = token_ratio) -> PolicyLoss:
    """`clipped_surrogate` of the ratio within the bounds of `config`, or the dual one."""
    bounds, dual_clip = (config.clip_low, config.clip_high), config.dual_clip

    def loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        ratio, advantage = ratio_of(flat, logprobs, old_logprobs), flat.advantages
        metrics = surrogate_metrics(ratio, advantage, *bounds)
        if not dual_clip:
            return TokenLosses(clipped_surrogate(ratio, advantage, *bounds), ratio, metrics)
        losses = dual_clipped_surrogate(ratio, advantage, *bounds, dual_clip)
        return TokenLosses(losses, ratio, metrics | dual_clip_metrics(ratio, advantage, dual_clip))

    return loss
