"""Whole numbers in the place of shares, with the same sum."""

from collections.abc import Sequence


def largest_remainder(shares: Sequence[float]) -> list[int]:
    """Whole numbers near `shares` [N] with the same (whole) sum: the largest fractions round up.

    Of equal fractions the first one does.
    """
    counts = [int(share) for share in shares]
    left = round(sum(shares)) - sum(counts)
    by_fraction = sorted(range(len(shares)), key=lambda i: counts[i] - shares[i])
    for i in by_fraction[:left]:
        counts[i] += 1
    return counts
