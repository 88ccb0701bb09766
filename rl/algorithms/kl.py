"""Estimators of KL(policy, reference) from sampled tokens, per token, not yet averaged.

With d = log policy - log reference; the names are those of the note "Approximating KL divergence"
(2020). All tensors of a call have one shape, [B, T] or [N].
"""

from collections.abc import Callable

from torch import Tensor

from rl.algorithms.losses import MAX_LOG_RATIO
from rl.config import KlEstimator


def k1(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d. Unbiased; as a loss on the policy's own samples its gradient has mean zero."""
    return logprobs - reference


def k2(logprobs: Tensor, reference: Tensor) -> Tensor:
    """d^2 / 2. Its gradient on the policy's own samples is that of the reverse KL."""
    return 0.5 * (logprobs - reference).square()


def k3(logprobs: Tensor, reference: Tensor) -> Tensor:
    """exp(-d) - 1 + d. Unbiased, never negative; GRPO (arXiv:2402.03300, eq. 4)."""
    negative = (reference - logprobs).clamp(-MAX_LOG_RATIO, MAX_LOG_RATIO)
    return negative.exp() - 1 - negative


KL: dict[KlEstimator, Callable[[Tensor, Tensor], Tensor]] = {
    KlEstimator.k1: k1,
    KlEstimator.k2: k2,
    KlEstimator.k3: k3,
}
