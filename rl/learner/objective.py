"""The objective: what a config adds to the losses of its policy, per token, and its metrics."""

from torch import Tensor

from rl.algorithms.kl import KL
from rl.algorithms.losses import kl_cov_penalty
from rl.config import AlgorithmConfig
from rl.learner.flat import FlatRows


def with_further_terms(
    losses: Tensor,
    algorithm: AlgorithmConfig,
    flat: FlatRows,
    logprobs: Tensor,
    old_logprobs: Tensor,
    reference_logprobs: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """`losses` of the policy [N] plus all other terms, and per-token values to report the means of.

    All tensors are [N]. `reference_logprobs` are the initial policy's where `kl_coefficient` asks
    for them.
    """
    means = {}
    if reference_logprobs is not None:
        kl = KL[algorithm.kl_estimator](logprobs, reference_logprobs)
        losses = losses + algorithm.kl_coefficient * kl
        means["kl"] = kl
    if algorithm.kl_cov_fraction:
        penalty = kl_cov_penalty(logprobs, old_logprobs, flat.held)
        losses = losses + algorithm.kl_cov_coefficient * penalty
        means["kl_cov"] = penalty
    return losses, means
