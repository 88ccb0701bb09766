"""The objective: what a config adds to the losses of its policy, per token, and its metrics."""

from torch import Tensor

from rl.algorithms.kl import KL
from rl.algorithms.losses import kl_cov_penalty
from rl.config import AlgorithmConfig
from rl.learner.flat import FlatRows
from rl.learner.logprobs import TokenLogprobs


def with_further_terms(
    losses: Tensor,
    algorithm: AlgorithmConfig,
    flat: FlatRows,
    policy: TokenLogprobs,
    old_logprobs: Tensor,
    reference_logprobs: Tensor | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """`losses` [N] plus the other terms, and per-token values [N] to report the means of.

    `policy` is what the policy predicts of the tokens, `old_logprobs` [N] belong to the start of
    the update; `reference_logprobs` [N] are the initial policy's where `kl_coefficient` asks for
    them.
    """
    logprobs, entropies = policy
    means = {}
    if algorithm.entropy_coefficient:
        losses = losses - algorithm.entropy_coefficient * entropies
    if reference_logprobs is not None:
        kl = KL[algorithm.kl_estimator](logprobs, reference_logprobs)
        losses = losses + algorithm.kl_coefficient * kl
        means["kl"] = kl
    if algorithm.kl_cov_fraction:
        penalty = kl_cov_penalty(logprobs, old_logprobs, flat.held)
        losses = losses + algorithm.kl_cov_coefficient * penalty
        means["kl_cov"] = penalty
    return losses, means
