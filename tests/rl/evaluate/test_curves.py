"""Curves over budgets: rank correlations and trends, by hand and against a slow definition."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import BudgetKind
from rl.evaluate.curves import Curve, Point, curve_trends, rank_correlation, trend
from tests.rl.evaluate.samples import outcomes

AMOUNTS = np.array([25.0, 50.0, 75.0, 100.0])
VALUES = st.lists(st.integers(0, 5), min_size=3, max_size=6)


def slow_ranks(values: list[int]) -> list[float]:
    """The mean place of each value among the sorted ones."""
    places = sorted(values)
    return [np.mean([i for i, v in enumerate(places) if v == value]).item() for value in values]


def test_rank_correlation_sees_order_alone() -> None:
    rows = np.array([[1, 2, 3, 400], [4, 3, 2, 1], [7, 7, 7, 7], [1, 3, 2, 4]], float)
    by_hand = 1 - 6 * (0 + 1 + 1 + 0) / (4 * 15)
    assert rank_correlation(AMOUNTS, rows) == pytest.approx([1.0, -1.0, 0.0, by_hand])


@given(VALUES)
def test_rank_correlation_is_the_correlation_of_mean_places(values: list[int]) -> None:
    amounts = np.arange(len(values), dtype=float)
    found = rank_correlation(amounts, np.array([values], float)).item()
    ranks = slow_ranks(values)
    slow = np.corrcoef(amounts, ranks)[0, 1] if len(set(values)) > 1 else 0.0
    assert found == pytest.approx(slow)


@given(VALUES)
def test_turning_the_values_round_turns_the_sign(values: list[int]) -> None:
    amounts, row = np.arange(len(values), dtype=float), np.array([values], float)
    assert rank_correlation(amounts, -row) == pytest.approx(-rank_correlation(amounts, row))


def test_a_trend_by_hand() -> None:
    found = trend([25, 50, 100], np.array([[10.0, 20.0, 40.0], [30.0, 25.0, 50.0]]))
    assert found.change.value == pytest.approx((40 + 50) / 2 - (10 + 30) / 2)
    assert found.rank_correlation.value == pytest.approx(1.0)
    assert found.problem_rank_correlation.value == pytest.approx((1.0 + 0.5) / 2)
    # Only the resamples of the second problem alone fall at first: one in four.
    assert found.rises == pytest.approx(0.75, abs=0.03)
    assert found.change.low == pytest.approx(20.0)
    assert found.change.high == pytest.approx(30.0)


def test_a_curve_that_stays_level_does_not_rise() -> None:
    found = trend([1, 2], np.array([[3.0, 3.0], [4.0, 4.0]]))
    assert (found.rises, found.rank_correlation.value, found.change.value) == (0.0, 0.0, 0.0)


def curve(*tables: dict[str, list[tuple[int, bool | None]]]) -> Curve:
    points = tuple(
        Point(amount=25 * (1 + at), trained=True, outcomes=outcomes(table))
        for at, table in enumerate(tables)
    )
    return Curve(kind=BudgetKind.EFFORT, points=points)


def test_accuracy_is_compared_on_problems_with_a_verdict_everywhere() -> None:
    found = curve_trends(
        curve(
            {"a": [(4, False), (6, False)], "b": [(3, True), (3, True)]},
            {"a": [(8, False), (8, True)], "b": [(3, None), (5, None)]},
        )
    )
    assert found["accuracy"].change.value == 0.5
    assert found["response_tokens"].change.value == pytest.approx((3 + 1) / 2)


def test_a_curve_of_one_point_or_without_verdicts_has_no_such_trend() -> None:
    assert curve_trends(curve({"a": [(4, True)]})) == {}
    assert list(curve_trends(curve({"a": [(4, None)]}, {"a": [(5, None)]}))) == ["response_tokens"]
