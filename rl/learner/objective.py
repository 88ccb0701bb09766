"""The objective: what a config adds to the losses of its policy, their sum, and its metrics."""

from torch import Tensor

from rl.algorithms.kl import KL
from rl.algorithms.losses import kl_cov_penalty, positive_example_nll
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


def summed(losses: Tensor, algorithm: AlgorithmConfig, flat: FlatRows, logprobs: Tensor) -> Tensor:
    """What the tokens of a micro-batch add to the loss of their optimizer step.

    `losses` [N] count where tokens train, `logprobs` [N] of the policy where they are imitated. All
    weights are those of the whole step.
    """
    total = (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()
    if algorithm.positive_coefficient:
        nll = positive_example_nll(logprobs, flat.right_weights > 0)
        total = total + algorithm.positive_coefficient * (flat.right_weights * nll).sum()
    return total
