"""Curves: the same problems asked for one budget after another, and whether length follows.

A budget is a number of tokens, exact or at most, or a percentage of effort.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.config import BudgetKind
from rl.evaluate.figures import Estimate, estimate
from rl.evaluate.formulas import Floats, bootstrap_draws, resampled_ratio
from rl.evaluate.outcomes import Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """The problems of a curve when all of them ask for `amount`."""

    amount: int
    trained: bool
    outcomes: Outcomes


@dataclass(frozen=True, slots=True, kw_only=True)
class Trend:
    """What becomes of a figure from the smallest amount to the largest.

    `change` is its mean at the largest less that at the smallest; `rank_correlation` that of
    amounts and means, `problem_rank_correlation` the mean of those of single problems; `rises` the
    share of resamples whose mean rises from each amount to the next.
    """

    change: Estimate
    rank_correlation: Estimate
    problem_rank_correlation: Estimate
    rises: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Curve:
    """The same problems, in the same order, asked for one amount after another, least first."""

    kind: BudgetKind
    points: tuple[Point, ...]


def rank_correlation(amounts: Floats, values: Floats) -> Floats:
    """Spearman's: the correlation of the ranks of amounts [K] and of each row of values [P, K].

    Ties get the mean of their ranks. A row of equal values has no order: 0. Gives [P].
    """
    a, v = (ranks - ranks.mean(axis=1, keepdims=True) for ranks in map(_ranks, (amounts, values)))
    spread = np.sqrt((a * a).sum(axis=1) * (v * v).sum(axis=1))
    found: Floats = (a * v).sum(axis=1) / np.where(spread > 0, spread, 1.0)
    return found


def trend(amounts: Sequence[int], values: Floats) -> Trend:
    """The trend of a figure per problem [P, K] over amounts [K], least first; K is 2 or more."""
    asked, ones = np.array(amounts, float), np.ones(len(values))
    draws = bootstrap_draws(len(values))
    means = values.mean(axis=0)
    again = np.stack([resampled_ratio(column, ones, draws) for column in values.T], axis=1)
    by_problem = rank_correlation(asked, values)
    return Trend(
        change=estimate(float(means[-1] - means[0]), again[:, -1] - again[:, 0]),
        rank_correlation=estimate(
            rank_correlation(asked, means[None]).item(), rank_correlation(asked, again)
        ),
        problem_rank_correlation=estimate(
            float(by_problem.mean()), resampled_ratio(by_problem, ones, draws)
        ),
        rises=float((np.diff(again, axis=1) > 0).all(axis=1).mean()),
    )


def curve_trends(curve: Curve) -> dict[str, Trend]:
    """The trends of tokens and of accuracy; none of a curve of one point.

    Accuracy is that of the problems with a verdict at every amount.
    """
    amounts = [point.amount for point in curve.points]
    if len(amounts) == 1:
        return {}
    tokens = np.stack([point.outcomes.tokens.mean(axis=1) for point in curve.points], axis=1)
    accuracies = np.stack([point.outcomes.accuracies for point in curve.points], axis=1)
    accuracies = accuracies[np.isfinite(accuracies).all(axis=1)]
    found = {"response_tokens": trend(amounts, tokens)}
    return found | ({"accuracy": trend(amounts, accuracies)} if len(accuracies) else {})


def _ranks(values: Floats) -> Floats:
    """1 for the smallest of each row [P, K]; equal values share the mean of their ranks."""
    rows = np.atleast_2d(values)
    below = (rows[:, None, :] < rows[:, :, None]).sum(axis=2)
    alike = (rows[:, None, :] == rows[:, :, None]).sum(axis=2)
    found: Floats = below + (alike + 1) / 2
    return found
