"""The numbers that a comparison of reasoning models reports, as pure functions."""

from collections.abc import Sequence
from math import comb
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Indices = NDArray[np.int64]
Number = TypeVar("Number", float, Floats)

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
    accuracy: Number,
    tokens: Number,
    base_accuracy: Number,
    base_tokens: Number,
    weights: tuple[float, float, float] = AES_WEIGHTS,
) -> Number:
    """AES = saved dL + gained dA if dA >= 0, else saved dL - lost |dA|.

    dL = (L0 - L) / L0 and dA = (A - A0) / A0, both relative to the base
    (O1-Pruner, arXiv:2501.12570, metrics). Numbers, or arrays [R] of resampled ones. `weights` are
    (saved, gained, lost); papers differ in them, so print them with the score.
    """
    saved, gained, lost = weights
    shorter = (base_tokens - tokens) / base_tokens
    better = (accuracy - base_accuracy) / base_accuracy
    gain, loss = (abs(better) + better) / 2, (abs(better) - better) / 2
    return saved * shorter + gained * gain - lost * loss


def correct_within(correct: Floats, tokens: Floats, cap: int) -> Floats:
    """c * [n <= cap]: what is right when generation stops after `cap` tokens.

    Accuracy at a cap (DLER, arXiv:2510.15110, section 4.3): a completion that is longer is wrong,
    also where its answer stands early. All [P, k]; a NaN (no verdict) stays one.
    """
    return np.where(tokens <= cap, correct, correct * 0.0)


def budget_error(tokens: Floats, budgets: Floats) -> float:
    """mean |n - n_gold| / n_gold: by what share of it answers miss the length they were asked for.

    Under LCPO-Exact (L1, arXiv:2503.04697). Both are [P, k], or anything that broadcasts to it.
    """
    return float(np.mean(np.abs(tokens - budgets) / budgets))


def budget_bias(tokens: Floats, budgets: Floats) -> float:
    """mean (n - n_gold) / n_gold: positive where answers are longer than they were asked to be.

    L1 (arXiv:2503.04697) reports (E[n] - n_gold) / n_gold for each budget, which this is when all
    budgets are equal. Both are [P, k], or anything that broadcasts to it.
    """
    return float(np.mean((tokens - budgets) / budgets))


def share_within_budget(tokens: Floats, budgets: Floats) -> float:
    """mean [n <= n_gold]: how often answers keep to the maximum that they were given.

    Under LCPO-Max (L1, arXiv:2503.04697); one minus it is the over-budget rate. Both are [P, k], or
    anything that broadcasts to it.
    """
    return float(np.mean(tokens <= budgets))


def bootstrap_draws(num_problems: int, seed: int = 0, num_resamples: int = 4000) -> Indices:
    """Which problems [R, P] make up each resample: P of them, drawn with replacement."""
    return np.random.default_rng(seed).integers(num_problems, size=(num_resamples, num_problems))


def resampled_ratio(numerator: Floats, denominator: Floats, draws: Indices) -> Floats:
    """sum(numerator) / sum(denominator) in each resample [R]; both are per problem [P].

    The samples of a problem stay together. 0 / 0 is NaN: the resample says nothing.
    """
    with np.errstate(divide="ignore", invalid="ignore"):
        ratios: Floats = numerator[draws].sum(axis=1) / denominator[draws].sum(axis=1)
    return ratios


def percentile_interval(resampled: Floats) -> tuple[float, float]:
    """The 2.5 % and 97.5 % quantiles of resampled figures [R], NaNs left out.

    An end beyond which figures are infinite (no right answer to divide by) is NaN or infinite.
    """
    with np.errstate(invalid="ignore"):
        low, high = np.quantile(resampled[~np.isnan(resampled)], [0.025, 0.975])
    return float(low), float(high)


def bootstrap_interval(
    values: Sequence[float] | Floats, seed: int = 0, num_resamples: int = 4000
) -> tuple[float, float]:
    """95 % percentile interval of the mean of `values` [P] under resampling of its entries.

    One value per problem; for the difference of two models give the per-problem differences.
    """
    entries = np.asarray(values, float)
    draws = bootstrap_draws(len(entries), seed, num_resamples)
    return percentile_interval(resampled_ratio(entries, np.ones_like(entries), draws))
