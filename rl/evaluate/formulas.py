"""The numbers that a comparison of reasoning models reports, as pure functions."""

from collections.abc import Sequence
from math import comb

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]

AES_WEIGHTS = (1.0, 3.0, 5.0)
"""Weights of tokens saved, accuracy gained, accuracy lost; printed wherever AES is."""


def pass_at_k(num_samples: int, num_correct: int, k: int) -> float:
    """1 - C(n - c, k) / C(n, k): chance that one of k draws without replacement is right.

    Unbiased estimate of pass@k from n >= k samples with c right (arXiv:2107.03374, eq. 1).
    """
    if not 1 <= k <= num_samples:
        raise ValueError(f"pass@{k} needs at least {k} samples, {num_samples} were given")
    return 1.0 - comb(num_samples - num_correct, k) / comb(num_samples, k)


def accuracy_efficiency_score(
    accuracy: float,
    tokens: float,
    base_accuracy: float,
    base_tokens: float,
    weights: tuple[float, float, float] = AES_WEIGHTS,
) -> float:
    """AES = saved dL + gained dA if dA >= 0, else saved dL - lost |dA|.

    dL = (L0 - L) / L0 and dA = (A - A0) / A0, both relative to the base
    (O1-Pruner, arXiv:2501.12570, metrics). `weights` are (saved, gained, lost); papers differ in
    them, so print them with the score.
    """
    saved, gained, lost = weights
    shorter = (base_tokens - tokens) / base_tokens
    better = (accuracy - base_accuracy) / base_accuracy
    return saved * shorter + (gained if better >= 0 else lost) * better


def bootstrap_interval(
    values: Sequence[float] | Floats, seed: int = 0, num_resamples: int = 4000
) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` [P] under resampling of its entries.

    One value per prompt, so that the samples of a prompt stay together; for the difference of two
    models give the per-prompt differences. A resample is a multinomial count of the entries.
    """
    entries = np.asarray(values, float)
    number = len(entries)
    counts = np.random.default_rng(seed).multinomial(
        number, np.full(number, 1 / number), size=num_resamples
    )
    low, high = np.quantile(counts @ entries / number, [0.025, 0.975])
    return float(low), float(high)
