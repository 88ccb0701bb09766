"""Whether counts of sampled tokens agree with a distribution: statistics of the exactness gates.

Flow: counts and expected probabilities of a prefix -> `pooled` cells of at least 20 -> a p-value by
chi-square or by the largest cell deviation -> Holm over all prefixes -> agree or not.
"""

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray

Counts = NDArray[np.int64]
Probabilities = NDArray[np.float64]

SMALLEST_CELL = 20
"""Expected draws below which chi-square is no chi-square: such cells are counted together."""
NUM_REDRAWS = 10_000


def pooled(counts: Counts, probabilities: Probabilities) -> tuple[Counts, Probabilities]:
    """The cells in order of their probability, the smallest merged until each expects 20 draws."""
    order = np.argsort(-probabilities, kind="stable")
    counts, probabilities = counts[order], probabilities[order]
    large = int((probabilities * counts.sum() >= SMALLEST_CELL).sum())
    rest = probabilities[large:].sum() * counts.sum()
    if 0 < rest < SMALLEST_CELL and large:
        large -= 1
    starts = [*range(large), *([large] if rest > 0 else [])]
    return np.add.reduceat(counts, starts), np.add.reduceat(probabilities, starts)


def is_impossible(counts: Counts, probabilities: Probabilities) -> bool:
    """Whether something was drawn that has probability 0; pooling would hide it."""
    return bool(counts[probabilities == 0].any())


def chi_square_p_value(counts: Counts, probabilities: Probabilities) -> float:
    """P(a statistic at least as large) if the counts [cells] are draws from `probabilities`."""
    if is_impossible(counts, probabilities):
        return 0.0
    counts, probabilities = pooled(counts, probabilities)
    if len(counts) < 2:
        return 1.0
    expected = counts.sum() * probabilities
    statistic = float(((counts - expected) ** 2 / expected).sum())
    half_freedom = torch.tensor((len(counts) - 1) / 2, dtype=torch.float64)
    half = torch.tensor(statistic / 2, dtype=torch.float64)
    return float(torch.special.gammaincc(half_freedom, half))


def largest_deviation_p_value(
    counts: Counts, probabilities: Probabilities, rng: np.random.Generator
) -> float:
    """P(a largest cell deviation at least as large) in redraws from `probabilities`.

    The deviation of a cell is |count - expected| / sqrt(expected). It finds one wrong token where
    chi-square spreads it over all cells.
    """
    if is_impossible(counts, probabilities):
        return 0.0
    counts, probabilities = pooled(counts, probabilities)
    probabilities = probabilities / probabilities.sum()
    expected = counts.sum() * probabilities
    redraws = rng.multinomial(counts.sum(), probabilities, size=NUM_REDRAWS)
    return _exceedance(_largest(counts, expected), _largest(redraws, expected))


def holm_rejects(p_values: Sequence[float], level: float) -> list[bool]:
    """Holm's step-down: which of the hypotheses fall, with at most `level` chance of a false one.

    The k-th smallest p-value is held against level / (m - k + 1), until the first that stands.
    """
    rejected = [False] * len(p_values)
    for rank, index in enumerate(np.argsort(p_values)):
        if p_values[index] > level / (len(p_values) - rank):
            break
        rejected[index] = True
    return rejected


def binomial_range(num: int, probability: float, mass: float) -> tuple[int, int]:
    """The counts (lowest, highest) that leave at most (1 - mass) / 2 of Binomial on either side."""
    counts = np.arange(num + 1)
    steps = np.log((num - counts[:-1]) / counts[1:]) + np.log(probability / (1 - probability))
    log_pmf = num * np.log1p(-probability) + np.concatenate([[0.0], np.cumsum(steps)])
    cumulative = np.cumsum(np.exp(log_pmf))
    tail = (1 - mass) / 2
    return int(np.argmax(cumulative > tail)), int(np.argmax(cumulative >= 1 - tail))


def _largest(counts: NDArray[np.int64], expected: Probabilities) -> NDArray[np.float64]:
    present = expected > 0
    deviations = np.abs(counts - expected)[..., present] / np.sqrt(expected[present])
    return np.asarray(deviations.max(axis=-1))


def _exceedance(observed: NDArray[np.float64], redrawn: NDArray[np.float64]) -> float:
    return float((1 + (redrawn >= observed - 1e-9).sum()) / (1 + len(redrawn)))
