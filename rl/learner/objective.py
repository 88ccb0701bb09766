"""The objective: which terms of the loss a config asks for, per token, and what they report."""

from torch import Tensor

from rl.algorithms.kl import KL
from rl.algorithms.losses import clipped_surrogate, kl_cov_penalty, surrogate_metrics
from rl.config import AlgorithmConfig
from rl.learner.flat import FlatRows


def token_losses(
    algorithm: AlgorithmConfig,
    flat: FlatRows,
    ratio: Tensor,
    logprobs: Tensor,
    old_logprobs: Tensor,
    reference_logprobs: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses [N], not yet averaged, and further per-token values [N] to report the means of.

    All tensors are [N]. `ratio` is that of `logprobs` to `old_logprobs`; `reference_logprobs` are
    the initial policy's where `kl_coefficient` asks for them.
    """
    clip = (algorithm.clip_low, algorithm.clip_high)
    losses = clipped_surrogate(ratio, flat.advantages, *clip)
    means = surrogate_metrics(ratio, flat.advantages, *clip)
    if reference_logprobs is not None:
        kl = KL[algorithm.kl_estimator](logprobs, reference_logprobs)
        losses = losses + algorithm.kl_coefficient * kl
        means["kl"] = kl
    if algorithm.kl_cov_fraction:
        penalty = kl_cov_penalty(logprobs, old_logprobs, flat.held)
        losses = losses + algorithm.kl_cov_coefficient * penalty
        means["kl_cov"] = penalty
    return losses, means
