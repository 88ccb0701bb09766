"""How well answers keep to the budgets that their prompts ask for, by kind and by amount.

A budget is a number of tokens, exact or at most, or a percentage of effort.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from data.config import BudgetKind
from data.types import Budget
from rl.evaluate.figures import Column, Figures, columns, estimate
from rl.evaluate.formulas import (
    Floats,
    bootstrap_draws,
    budget_bias,
    budget_error,
    resampled_ratio,
    share_within_budget,
)
from rl.evaluate.outcomes import Outcomes

MOST_BANDS = 8
"""Different budgets that have a row of their own; more are put together with their neighbours."""

KEPT = ("accuracy", "response_tokens", "truncated")
"""Figures of an evaluation that are shown beside the budget."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Band:
    """The problems that asked for `low` to `high`.

    `never_trained` of them asked for an amount that is not one of training's.
    """

    kind: BudgetKind
    low: int
    high: int
    num_problems: int
    never_trained: int
    figures: Figures


def instructed_columns(outcomes: Outcomes, budgets: Sequence[Budget]) -> dict[str, Column]:
    """The sums behind each figure; `budgets` are those of the problems [P], of one kind.

    budget_error    mean |n - n_gold| / n_gold
    budget_bias     mean (n - n_gold) / n_gold: positive where answers are too long
    within_budget   share of answers that are not longer than asked for

    The three are means over samples, then over problems, and are left out for an effort, which is
    no number of tokens.
    """
    found = {name: column for name, column in columns(outcomes).items() if name in KEPT}
    if budgets[0].kind is BudgetKind.EFFORT:
        return found
    asked = np.array([float(budget.amount) for budget in budgets])
    formulas: Mapping[str, Callable[[Floats, Floats], float]] = {
        "budget_error": budget_error,
        "budget_bias": budget_bias,
        "within_budget": share_within_budget,
    }
    for name, formula in formulas.items():
        each = [formula(row, amount) for row, amount in zip(outcomes.tokens, asked, strict=True)]
        found[name] = Column(np.array(each), np.ones(len(each)))
    return found


def instructed_figures(outcomes: Outcomes, budgets: Sequence[Budget]) -> Figures:
    """Each figure of `instructed_columns` with its interval."""
    draws = bootstrap_draws(len(outcomes.problems))
    return {
        name: estimate(column.value, resampled_ratio(*column, draws))
        for name, column in instructed_columns(outcomes, budgets).items()
    }


def bands(
    outcomes: Outcomes,
    budgets: Sequence[Budget | None],
    trained: Mapping[BudgetKind, Collection[int]],
) -> list[Band]:
    """For each kind of budget [P] all of its problems, then those of each amount or few amounts.

    Problems that ask for nothing are left out. `trained` are the amounts that training asks for.
    """
    found = []
    for kind in BudgetKind:
        asked = {row: b for row, b in enumerate(budgets) if b is not None and b.kind is kind}
        amounts = sorted({budget.amount for budget in asked.values()})
        if not amounts:
            continue
        split = [part.tolist() for part in np.array_split(amounts, min(len(amounts), MOST_BANDS))]
        for part in [amounts, *split] if len(split) > 1 else [amounts]:
            rows = [row for row, budget in asked.items() if budget.amount in part]
            chosen = [asked[row] for row in rows]
            found.append(
                Band(
                    kind=kind,
                    low=part[0],
                    high=part[-1],
                    num_problems=len(rows),
                    never_trained=sum(b.amount not in trained.get(kind, ()) for b in chosen),
                    figures=instructed_figures(outcomes.only(rows), chosen),
                )
            )
    return found
