"""The objective: which terms of the loss a config asks for, per token, and what they report."""

from collections.abc import Callable

from torch import Tensor

from rl.algorithms.kl import KL
from rl.algorithms.losses import (
    clipped_surrogate,
    importance_ratio,
    kl_cov_penalty,
    surrogate_metrics,
)
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rl.config import AlgorithmConfig
from rl.learner.flat import FlatRows

Ratio = Callable[[FlatRows, Tensor, Tensor], Tensor]
"""From a micro-batch, log-probs and those at the start of the update, all [N], to ratios [N]."""


def token_ratio(flat: FlatRows, logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """r_t = exp(log policy - log old policy), token by token."""
    return importance_ratio(logprobs, old_logprobs)


def sequence_ratio(flat: FlatRows, logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """r = exp(sum_t (log policy - log sampler)) of a whole response, at each of its tokens.

    O1-Pruner (arXiv:2501.12570, eq. 11): the sampler is the initial policy, however long ago.
    """
    sums = flat.row_sums(logprobs), flat.row_sums(flat.sampler_logprobs)
    return importance_ratio(*sums)[flat.rows]


def mean_token_ratio(flat: FlatRows, logprobs: Tensor, old_logprobs: Tensor) -> Tensor:
    """r = exp(mean_t (log policy - log sampler)) of a whole response, at each of its tokens.

    The released code of O1-Pruner (src/llamafactory/train/wsft/trainer.py).
    """
    means = flat.row_means(logprobs), flat.row_means(flat.sampler_logprobs)
    return importance_ratio(*means)[flat.rows]


RATIOS: dict[type[AlgorithmConfig], Ratio] = {
    O1PrunerConfig: sequence_ratio,
    O1PrunerCodeConfig: mean_token_ratio,
}
"""Of the algorithms whose ratio is not `token_ratio`."""


def policy_ratio(
    algorithm: AlgorithmConfig, flat: FlatRows, logprobs: Tensor, old_logprobs: Tensor
) -> Tensor:
    """The ratio [N] of the surrogate of `algorithm`."""
    return RATIOS.get(type(algorithm), token_ratio)(flat, logprobs, old_logprobs)


def token_losses(
    algorithm: AlgorithmConfig,
    flat: FlatRows,
    ratio: Tensor,
    logprobs: Tensor,
    old_logprobs: Tensor,
    reference_logprobs: Tensor | None,
    importance_weights: Tensor,
) -> tuple[Tensor, dict[str, Tensor]]:
    """Losses [N], not yet averaged, and further per-token values [N] to report the means of.

    All tensors are [N]. `ratio` is `policy_ratio`'s; `reference_logprobs` are the initial policy's
    where `kl_coefficient` asks for them; `importance_weights` (`rl.algorithms.correction`) weigh
    the surrogate alone.
    """
    clip = (algorithm.clip_low, algorithm.clip_high)
    losses = importance_weights * clipped_surrogate(ratio, flat.advantages, *clip)
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
