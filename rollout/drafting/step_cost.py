"""The step-cost table: seconds of an engine step by running rows and by drafts that it verifies.

Flow: medians on a grid of rows and drafts per row -> made monotone in the drafts -> `curve`, the
seconds of every number of drafts at one number of rows, by interpolation.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class StepCostTable:
    """T[B][k]: seconds of a step of B rows that verifies k drafts per row (SmartSpec's T).

    `rows` [R] and `drafts_per_row` [N] ascend strictly, `drafts_per_row` from 0; `seconds` [R, N].
    """

    rows: Floats
    drafts_per_row: Floats
    seconds: Floats

    def curve(self, rows: int, most_drafts: int) -> Floats:
        """Seconds of a step of `rows` rows by its number of drafts, 0 to `most_drafts` [N + 1].

        Linear between grid points along both axes and beyond the last of them: a cost that is
        linear in rows and in draft tokens is met exactly.
        """
        at_rows = interpolated_row(rows, self.rows, self.seconds)
        drafts = np.arange(most_drafts + 1) / rows
        return interpolated(drafts, self.drafts_per_row, at_rows)


def interpolated(x: Floats | float, known: Floats, values: Floats) -> Floats:
    """Piecewise linear through (known, values), constant before, the last slope beyond the last."""
    inside = np.interp(x, known, values)
    if len(known) == 1:
        return np.asarray(inside)
    slope = (values[-1] - values[-2]) / (known[-1] - known[-2])
    return np.asarray(inside + slope * np.maximum(np.asarray(x) - known[-1], 0.0))


def interpolated_row(x: float, known: Floats, values: Floats) -> Floats:
    """`interpolated` at one x of every column of `values` [N, C], for N `known` places [C]."""
    if len(known) == 1:
        return np.asarray(values[0])
    place = min(max(int(np.searchsorted(known, x)) - 1, 0), len(known) - 2)
    share = max(0.0, (x - known[place]) / (known[place + 1] - known[place]))
    return np.asarray(values[place] + share * (values[place + 1] - values[place]))


def isotonic(values: Floats, weights: Floats) -> Floats:
    """The non-decreasing sequence [N] that is nearest to `values` in weighted squares.

    Pool adjacent violators: neighbours in the wrong order are replaced by their weighted mean.
    More drafts never make a step faster, so a dip in the medians is noise.
    """
    pools: list[tuple[float, float, int]] = []
    for value, weight in zip(values, weights, strict=True):
        mean, mass, size = float(value), float(weight), 1
        while pools and pools[-1][0] > mean:
            before, before_mass, before_size = pools.pop()
            mean = (before * before_mass + mean * mass) / (before_mass + mass)
            mass, size = mass + before_mass, size + before_size
        pools.append((mean, mass, size))
    return np.repeat([pool[0] for pool in pools], [pool[2] for pool in pools])
