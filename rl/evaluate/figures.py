"""The figures of an evaluation, each with its 95 % bootstrap interval over problems.

Every figure is a ratio of two sums over problems, so that all of them share one resampling:
`columns` says which sums, `figures` adds the intervals.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from rl.evaluate.formulas import (
    Floats,
    bootstrap_draws,
    pass_at_k,
    percentile_interval,
    resampled_ratio,
)
from rl.evaluate.outcomes import Outcomes

DECIMALS = 9
"""Interval ends are rounded: below this they show the order of a sum, not the data."""

NUM_CAPS = 5


class Column(NamedTuple):
    """A figure per problem: numerator and denominator, both [P]."""

    numerator: Floats
    denominator: Floats

    @property
    def value(self) -> float:
        return float(self.numerator.sum() / self.denominator.sum())


@dataclass(frozen=True, slots=True)
class Estimate:
    """A figure with the ends of its 95 % interval."""

    value: float
    low: float
    high: float


Figures = dict[str, Estimate]


def figures(outcomes: Outcomes) -> Figures:
    """Every figure that is defined, by name; see `columns`."""
    draws = bootstrap_draws(len(outcomes.problems))
    return {
        name: estimate(column.value, resampled_ratio(*column, draws))
        for name, column in columns(outcomes).items()
    }


def columns(outcomes: Outcomes) -> dict[str, Column]:
    """The sums behind each figure. What is undefined (no wrong answer) is left out.

    accuracy, avg@k      share right: mean over samples, then over problems
    pass@k               chance that one of k samples is right, for k = 1, 2, 4, ... and all
    response_tokens      mean length, truncated completions at their limit
    tokens_per_correct   tokens spent for one right answer
    correct_tokens       mean length of right completions
    wrong_tokens         mean length of wrong completions
    truncated            share that reached its limit
    """
    accuracies, graded = outcomes.accuracies, outcomes.graded.astype(float)
    right = np.where(outcomes.graded, accuracies, 0.0)
    tokens, ones = outcomes.tokens.mean(axis=1), np.ones(len(graded))
    found = {
        "accuracy": Column(right, graded),
        f"avg@{outcomes.samples_per_problem}": Column(right, graded),
        **{f"pass@{k}": _pass_at(outcomes, k) for k in doublings(outcomes.samples_per_problem)},
        "response_tokens": Column(tokens, ones),
        "tokens_per_correct": Column(tokens * graded, right),
        "correct_tokens": _tokens_where(outcomes, 1.0),
        "wrong_tokens": _tokens_where(outcomes, 0.0),
        "truncated": Column(outcomes.truncated.mean(axis=1), ones),
    }
    return {name: column for name, column in found.items() if column.denominator.any()}


def budget_curve(outcomes: Outcomes, caps: Sequence[int]) -> dict[int, Figures]:
    """The figures if generation had stopped at each cap, from this one set of completions."""
    return {cap: figures(outcomes.capped(cap)) for cap in caps}


def chosen_caps(configured: Sequence[int], limit: int) -> list[int]:
    """The configured caps in order, or `limit` halved four times: 512 gives 32, 64, ..., 512."""
    halved = (limit >> shift for shift in range(NUM_CAPS))
    return sorted({cap for cap in configured or halved if cap > 0})


def doublings(number: int) -> list[int]:
    """1, 2, 4, ... up to `number`, and `number` itself."""
    return sorted({*(1 << shift for shift in range(number.bit_length())), number})


def estimate(value: float, resampled: Floats) -> Estimate:
    """`value` with the interval of its resampled twins [R]."""
    low, high = percentile_interval(resampled)
    return Estimate(value, round(low, DECIMALS), round(high, DECIMALS))


def _pass_at(outcomes: Outcomes, k: int) -> Column:
    """pass@k of the problems with at least k graded completions."""
    num_samples = (~np.isnan(outcomes.correct)).sum(axis=1)
    num_correct = np.nansum(outcomes.correct, axis=1).astype(int)
    enough = num_samples >= k
    chances = [
        pass_at_k(n, c, k) if n >= k else 0.0
        for n, c in zip(num_samples.tolist(), num_correct.tolist(), strict=True)
    ]
    return Column(np.array(chances), enough.astype(float))


def _tokens_where(outcomes: Outcomes, correct: float) -> Column:
    """Mean over completions, not over problems: a problem counts as often as it has such ones."""
    chosen = outcomes.correct == correct
    return Column(np.where(chosen, outcomes.tokens, 0.0).sum(axis=1), chosen.sum(axis=1) * 1.0)
