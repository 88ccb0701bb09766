"""Budget errors by kind and by amount, by hand."""

import numpy as np
import pytest

from data.config import BudgetKind
from data.types import Budget
from rl.evaluate.instructed import MOST_BANDS, bands, instructed_columns, instructed_figures
from rl.evaluate.outcomes import Outcomes
from tests.rl.evaluate.samples import outcomes


def exact(amount: int) -> Budget:
    return Budget(kind=BudgetKind.EXACT, amount=amount)


def effort(amount: int) -> Budget:
    return Budget(kind=BudgetKind.EFFORT, amount=amount)


TWO = outcomes({"a": [(11, True), (9, False)], "b": [(5, True), (4, True)]})
"""Two problems of two samples, asked for 10 and for 4 tokens below."""


def test_each_figure_is_a_mean_over_samples_and_then_over_problems() -> None:
    found = {n: c.value for n, c in instructed_columns(TWO, [exact(10), exact(4)]).items()}
    assert found == pytest.approx(
        {
            "accuracy": 0.75,
            "response_tokens": (10 + 4.5) / 2,
            "truncated": 0.0,
            "budget_error": ((0.1 + 0.1) / 2 + (0.25 + 0) / 2) / 2,
            "budget_bias": ((0.1 - 0.1) / 2 + (0.25 + 0) / 2) / 2,
            "within_budget": 0.5,
        }
    )


def test_an_answer_of_the_budgets_length_is_within_it_and_without_error() -> None:
    one = outcomes({"a": [(10, False)]})
    found = instructed_figures(one, [Budget(kind=BudgetKind.MAX, amount=10)])
    assert found["within_budget"].value == 1.0
    assert found["budget_error"].value == 0.0


def test_an_effort_is_no_number_of_tokens() -> None:
    assert list(instructed_columns(TWO, [effort(50), effort(50)])) == [
        "accuracy",
        "response_tokens",
        "truncated",
    ]


def test_all_problems_of_a_kind_come_before_those_of_each_amount() -> None:
    four = outcomes({name: [(8, True)] for name in "abcd"})
    asked = [exact(10), None, exact(8), effort(25)]
    found = bands(four, asked, {BudgetKind.EXACT: range(0, 100, 10), BudgetKind.EFFORT: [25]})
    shown = [(b.kind.value, b.low, b.high, b.num_problems, b.never_trained) for b in found]
    assert shown == [
        ("exact", 8, 10, 2, 1),
        ("exact", 8, 8, 1, 1),
        ("exact", 10, 10, 1, 0),
        ("effort", 25, 25, 1, 0),
    ]
    assert found[0].figures["budget_error"].value == pytest.approx((0.2 + 0) / 2)


def test_many_amounts_are_put_together_with_their_neighbours() -> None:
    names = [f"p{number}" for number in range(20)]
    many = outcomes({name: [(8, True)] for name in names})
    whole, *parts = bands(many, [exact(100 + number) for number in range(20)], {})
    assert (whole.low, whole.high, whole.num_problems, whole.never_trained) == (100, 119, 20, 20)
    assert len(parts) == MOST_BANDS
    assert sum(part.num_problems for part in parts) == 20
    assert [part.low for part in parts[1:]] == [part.high + 1 for part in parts[:-1]]


def test_where_nothing_is_asked_there_are_no_bands() -> None:
    assert bands(TWO, [None, None], {}) == []


def test_a_problem_that_was_not_graded_counts_with_its_tokens_alone() -> None:
    some: Outcomes = outcomes({"a": [(12, None)], "b": [(10, True)]})
    found = instructed_columns(some, [exact(10), exact(10)])
    assert found["accuracy"].value == 1.0
    assert found["budget_error"].value == pytest.approx(0.1)
    assert np.isfinite(found["budget_error"].numerator).all()
