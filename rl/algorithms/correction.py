"""Correction of the gap between the policy that sampled and the one that the update starts from.

With mu the sampler, old the policy at the start of the update (the proximal policy) and theta the
policy being trained, pi_theta / mu = (pi_theta / pi_old) (pi_old / mu) = r rho. The surrogate clips
r; rho, which holds the engine's numerics and the age of the sampling weights, is a detached weight
per token (decoupled PPO: arXiv:2110.00641, AReaL arXiv:2505.24298). It weighs the policy's term
only, and tokens that it weighs less still count in the mean.
"""

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from rl.algorithms.config import CorrectionConfig, TruncatedConfig
from rl.algorithms.losses import importance_ratio

Weigh = Callable[[Tensor, Tensor], tuple[Tensor, dict[str, Tensor]]]
"""From log-probs at the start of the update and the sampler's, [N], to weights [N] and metrics."""


def truncated_weights(old_logprobs: Tensor, sampler_logprobs: Tensor, cap: float) -> Tensor:
    """min(rho, cap) with rho = exp(log old - log sampler), detached; all [N].

    Truncated importance sampling (Ionides 2008), per token and with cap 2 as in verl.
    """
    return importance_ratio(old_logprobs, sampler_logprobs).clamp(max=cap).detach()


def truncation_metrics(weights: Tensor, cap: float) -> dict[str, Tensor]:
    """Per token [N]: the weight, and 1 where it is at the cap."""
    return {"correction/weight_mean": weights, "correction/capped_ratio": (weights >= cap).float()}


def uncorrected(config: CorrectionConfig) -> Weigh:
    """Every token weighs 1, whatever the gap."""
    return lambda old, sampler: (torch.ones_like(old), {})


def truncated(config: TruncatedConfig) -> Weigh:
    """`truncated_weights` with the cap of `config`."""

    def weigh(old: Tensor, sampler: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        weights = truncated_weights(old, sampler, config.cap)
        return weights, truncation_metrics(weights, config.cap)

    return weigh


CORRECTIONS: dict[type[CorrectionConfig], Callable[[Any], Weigh]] = {
    CorrectionConfig: uncorrected,
    TruncatedConfig: truncated,
}


def correction_weights(config: CorrectionConfig) -> Weigh:
    """The weights that `config` chooses."""
    return CORRECTIONS[type(config)](config)
