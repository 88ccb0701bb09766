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
    """`clipped_surrogate` of the ratio, or the dual one, within the bounds of `config`."""
    bounds = (config.clip_low, config.clip_high)

    def loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        ratio = ratio_of(flat, logprobs, old_logprobs)
        losses = clipped_surrogate(ratio, flat.advantages, *bounds)
        return TokenLosses(losses, ratio, surrogate_metrics(ratio, flat.advantages, *bounds))

    def dual_loss(flat: "FlatRows", logprobs: "Tensor", old_logprobs: "Tensor") -> TokenLosses:
        ratio = ratio_of(flat, logprobs, old_logprobs)
        losses = dual_clipped_surrogate(ratio, flat.advantages, *bounds, config.dual_clip)
        metrics = surrogate_metrics(ratio, flat.advantages, *bounds)
        dual = dual_clip_metrics(ratio, flat.advantages, config.dual_clip)
        return TokenLosses(losses, ratio, metrics | dual)

    return dual_loss if config.dual_clip else loss
