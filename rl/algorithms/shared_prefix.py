"""The clipped surrogate of a token that several leaves share, in one term instead of one a leaf.

A shared token has the same ratio in every leaf, and only its advantages differ. So two sums of
these replace the leaves, exactly. TreePO (arXiv:2508.17445) keeps a full row per leaf; the
derivation is ours.
"""

import torch
from torch import Tensor


def signed_sums(advantages: Tensor) -> tuple[Tensor, Tensor]:
    """A+ = sum_i max(A_i, 0) and A- = sum_i min(A_i, 0) over the leaves of a token: [K, T] to [T].

    A leaf that does not hold the token has A_i = 0 there.
    """
    return advantages.clamp(min=0).sum(0), advantages.clamp(max=0).sum(0)


def shared_surrogate(
    ratio: Tensor, positive: Tensor, negative: Tensor, clip_low: float, clip_high: float
) -> Tensor:
    """-(A+ min(r, 1 + clip_high) + A- max(r, 1 - clip_low)), per token [T], not yet averaged.

    Equals the sum of `rl.algorithms.losses.clipped_surrogate` over the k leaves that share the
    token; a mean over tokens therefore counts it k times.
    """
    low = torch.full_like(ratio, 1 - clip_low)
    high = torch.full_like(ratio, 1 + clip_high)
    return -(positive * torch.minimum(ratio, high) + negative * torch.maximum(ratio, low))
