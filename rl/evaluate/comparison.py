"""A model against its base: every figure's change on the problems that both answered.

Both are resampled together, problem by problem, so that what makes a problem hard cancels.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

import numpy as np

from rl.evaluate.figures import Column, Estimate, Figures, columns, estimate, figures
from rl.evaluate.formulas import (
    Floats,
    Indices,
    accuracy_efficiency_score,
    bootstrap_draws,
    resampled_ratio,
)
from rl.evaluate.outcomes import Outcomes

Values = Mapping[str, Floats]
"""Figures by name, each [R]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Comparison:
    """On `num_problems` shared problems: the base's figures, and `change` = model - base.

    `token_ratio` is tokens over the base's tokens; `aes` is None against a base that solves
    nothing.
    """

    num_problems: int
    base: Figures
    change: Figures
    token_ratio: Estimate
    aes: Estimate | None


def shared_problems(model: Outcomes, base: Outcomes) -> tuple[Outcomes, Outcomes]:
    """Both on the problems that both have a verdict on, in the model's order.

    Raises ValueError when there is none.
    """
    row_of = {name: row for row, name in enumerate(base.problems) if base.graded[row]}
    rows = [row for row, name in enumerate(model.problems) if model.graded[row] and name in row_of]
    if not rows:
        raise ValueError(
            f"none of the {len(model.problems)} problems is among the base's {len(base.problems)}; "
            "evaluate both on the same data"
        )
    return model.only(rows), base.only([row_of[model.problems[row]] for row in rows])


def compare(model: Outcomes, base: Outcomes) -> Comparison:
    """The change from `base` to `model`; raises ValueError when they share no problem."""
    model, base = shared_problems(model, base)
    draws = bootstrap_draws(len(model.problems))
    new, old = columns(model), columns(base)
    values, resampled = (values_of(new), values_of(old)), (again(new, draws), again(old, draws))

    def estimated(of: Callable[[Values, Values], Floats]) -> Estimate:
        return estimate(of(*values).item(), of(*resampled))

    return Comparison(
        num_problems=len(model.problems),
        base=figures(base),
        change={name: estimated(partial(_change, name)) for name in new if name in old},
        token_ratio=estimated(_token_ratio),
        aes=estimated(_aes) if old["accuracy"].value > 0 else None,
    )


def values_of(columns: Mapping[str, Column]) -> Values:
    """Each figure as an array of one, so that one function serves it and its resamples."""
    return {name: np.array([column.value]) for name, column in columns.items()}


def again(columns: Mapping[str, Column], draws: Indices) -> Values:
    """Each figure in each resample [R]."""
    return {name: resampled_ratio(*column, draws) for name, column in columns.items()}


def _change(name: str, new: Values, old: Values) -> Floats:
    return new[name] - old[name]


def _token_ratio(new: Values, old: Values) -> Floats:
    return new["response_tokens"] / old["response_tokens"]


def _aes(new: Values, old: Values) -> Floats:
    with np.errstate(divide="ignore", invalid="ignore"):
        return accuracy_efficiency_score(
            new["accuracy"], new["response_tokens"], old["accuracy"], old["response_tokens"]
        )
