"""Correction, token by token, of the gap between the policy that sampled and the one that learns.

With mu the sampler, old the policy at the start of the update (the proximal policy) and theta the
policy being trained, pi_theta / mu = (pi_theta / pi_old) (pi_old / mu) = r rho. The surrogate clips
r; rho, which holds the engine's numerics and the age of the sampling weights, is a detached weight
(decoupled PPO: arXiv:2110.00641, AReaL arXiv:2505.24298). It weighs the policy's term only, and
tokens that it weighs less or masks still count in the mean.
"""

from torch import Tensor

from rl.algorithms.losses import importance_ratio


def truncated_weights(old_logprobs: Tensor, sampler_logprobs: Tensor, cap: float) -> Tensor:
    """min(rho, cap) with rho = exp(log old - log sampler), detached; all [N].

    Truncated importance sampling (Ionides 2008), per token and with cap 2 as in verl.
    """
    return importance_ratio(old_logprobs, sampler_logprobs).clamp(max=cap).detach()


def icepop_weights(
    old_logprobs: Tensor, sampler_logprobs: Tensor, lowest: float, highest: float
) -> Tensor:
    """rho where lowest <= rho <= highest, else 0; detached; all [N].

    IcePop, the two-sided mask of Ring-1T (arXiv:2510.18855); 0.5 and 5 as in verl's presets.
    """
    rho = importance_ratio(old_logprobs, sampler_logprobs).detach()
    return rho.where((rho >= lowest) & (rho <= highest), 0.0)
