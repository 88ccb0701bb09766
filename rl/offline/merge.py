"""Formulas that make one weight tensor of two, entry by entry, in float32.

Tensors of one call share a shape; the result is float32. `rl.offline.folders` streams models
through them.
"""

from collections.abc import Callable, Iterable

import torch
from torch import Tensor

BUCKETS = 2**16
"""Magnitudes are counted by the upper, then by the lower 16 bits of their float32."""


def weighted_mean(one: Tensor, other: Tensor, weight: float) -> Tensor:
    """w theta_1 + (1 - w) theta_2.

    AdaR1 (arXiv:2504.21659) merges its long and its short model so, with w = 0.8 for 7B.
    """
    return weight * one.float() + (1 - weight) * other.float()


def scaled_update(base: Tensor, tuned: Tensor, scale: float) -> Tensor:
    """theta + s (theta' - theta): 0 is the base, 1 the tuned model, more goes beyond it.

    CoT-Valve (arXiv:2502.09601), for a direction that was trained into whole weights.
    """
    return base.float() + scale * (tuned.float() - base.float())


def scaled_adapter(base: Tensor, down: Tensor, up: Tensor, factor: float) -> Tensor:
    """theta + s (alpha / r) B A, where `factor` is s alpha / r.

    CoT-Valve (arXiv:2502.09601), for a direction that is a LoRA: `down` is A [r, in], `up` is
    B [out, r], `base` [out, in].
    """
    return base.float() + factor * (up.float() @ down.float())


def selective_update(
    base: Tensor, tuned: Tensor, scale: float, largest: Callable[[Tensor], Tensor]
) -> Tensor:
    """theta + scale * (delta where |delta| is among the largest, else 0); delta = theta' - theta.

    DLER (arXiv:2510.15110, section 4.6) keeps the largest 25 % and scales by 0.7. Whether they are
    counted per tensor or over the model is not stated; `largest` says which of |delta| stay.
    """
    delta = tuned.float() - base.float()
    return base.float() + scale * torch.where(largest(delta.abs()), delta, 0.0)


def largest_of_tensor(magnitudes: Tensor, keep: float) -> Tensor:
    """True for the floor(keep n) largest of n entries; of equal ones the first stay."""
    count = num_kept(magnitudes.numel(), keep)
    if count == 0:
        return torch.zeros_like(magnitudes, dtype=torch.bool)
    flat = magnitudes.flatten()
    threshold = flat.kthvalue(flat.numel() - count + 1).values
    return _above(flat, threshold, count - int((flat > threshold).sum())).view_as(magnitudes)


class LargestOfModel:
    """True for the floor(keep N) largest of all N entries of a model.

    `stream` gives the model's magnitudes, tensor by tensor and in the same order on every call; the
    instance is then called on each of them once, in that order. Of equal entries the first stay.
    """

    def __init__(self, stream: Callable[[], Iterable[Tensor]], keep: float) -> None:
        total = sum(magnitudes.numel() for magnitudes in stream())
        count = num_kept(total, keep)
        self._threshold, self._ties = kth_largest(stream, count) if count else (torch.inf, 0)

    def __call__(self, magnitudes: Tensor) -> Tensor:
        flat = magnitudes.flatten()
        kept = _above(flat, self._threshold, self._ties)
        self._ties -= int((kept & (flat == self._threshold)).sum())
        return kept.view_as(magnitudes)


def kth_largest(stream: Callable[[], Iterable[Tensor]], count: int) -> tuple[float, int]:
    """The `count`-th largest of all entries, and how many equal to it are among the largest.

    None is negative, so that the bits of float32 are ordered as the numbers are: counted by their
    upper half, then by the lower one. Memory holds one tensor.
    """
    upper, count = _bucket(stream, count, lambda bits: bits >> 16)
    lower, count = _bucket(stream, count, lambda bits: bits[bits >> 16 == upper] % BUCKETS)
    bits = torch.tensor(upper * BUCKETS + lower, dtype=torch.int32)
    return float(bits.view(torch.float32)), count


def num_kept(total: int, keep: float) -> int:
    """floor(keep * total); 0.07 * 100 is meant to be 7, whatever floating point makes of it."""
    return int(keep * total + 1e-9)


def _bucket(
    stream: Callable[[], Iterable[Tensor]], count: int, bucket_of: Callable[[Tensor], Tensor]
) -> tuple[int, int]:
    """The bucket that holds the `count`-th largest entry, and which of its own it is."""
    sizes = torch.zeros(BUCKETS, dtype=torch.int64)
    for magnitudes in stream():
        bits = magnitudes.float().contiguous().view(torch.int32).flatten()
        sizes += torch.bincount(bucket_of(bits), minlength=BUCKETS)
    from_top = sizes.flip(0).cumsum(0)
    place = int(torch.searchsorted(from_top, count))
    above = int(from_top[place - 1]) if place else 0
    return BUCKETS - 1 - place, count - above


def _above(flat: Tensor, threshold: Tensor | float, num_ties: int) -> Tensor:
    """Entries above the threshold, and the first `num_ties` of those that equal it."""
    equal = flat == threshold
    return (flat > threshold) | (equal & (equal.cumsum(0) <= num_ties))
