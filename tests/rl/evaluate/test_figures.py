from random import Random

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.evaluate.figures import Figures, chosen_caps, columns, doublings, figures
from rl.evaluate.outcomes import Outcome, Outcomes, collect
from tests.rl.evaluate.samples import LIMIT, outcomes

WORKED = {
    "a": [(2, True), (4, True), (6, True), (16, False)],
    "b": [(8, True), (10, False), (16, False), (16, False)],
    "c": [(4, None), (6, False), (16, False), (16, False)],
}
"""a: 3 of 4 right, b: 1 of 4, c: 0 of the 3 that were graded."""


def columns_of(of: Outcomes) -> dict[str, list[list[float]]]:
    return {name: [part.tolist() for part in column] for name, column in columns(of).items()}


def value(figures: Figures, name: str) -> float:
    return figures[name].value


def test_figures_by_hand() -> None:
    found = figures(outcomes(WORKED))
    assert value(found, "accuracy") == pytest.approx((3 / 4 + 1 / 4 + 0) / 3)
    assert value(found, "avg@4") == value(found, "accuracy")
    assert value(found, "response_tokens") == pytest.approx((7 + 12.5 + 10.5) / 3)
    assert value(found, "tokens_per_correct") == pytest.approx((7 + 12.5 + 10.5) / 1)
    assert value(found, "correct_tokens") == pytest.approx((2 + 4 + 6 + 8) / 4)
    assert value(found, "wrong_tokens") == pytest.approx((16 + 10 + 16 + 16 + 6 + 16 + 16) / 7)
    assert value(found, "truncated") == pytest.approx(5 / 12)


def test_pass_at_k_by_hand() -> None:
    """1 - C(n - c, 2) / C(n, 2): a 1 - 0/6, b 1 - 3/6, c 0; 4 of c were not graded."""
    found = figures(outcomes(WORKED))
    assert value(found, "pass@2") == pytest.approx((1 + 0.5 + 0) / 3)
    assert value(found, "pass@4") == pytest.approx((1 + 1) / 2)


def test_curve_by_hand() -> None:
    """Within 4 tokens: a 2 of 4, b and c none; within 8: a 3 of 4, b 1 of 4."""
    whole = outcomes(WORKED)
    at = {cap: figures(whole.capped(cap)) for cap in (4, 8, LIMIT)}
    assert value(at[4], "accuracy") == pytest.approx((2 / 4 + 0 + 0) / 3)
    assert value(at[4], "response_tokens") == pytest.approx((2 + 3 * 4 + 4 * 4 + 4 * 4) / 12)
    assert value(at[4], "truncated") == pytest.approx(9 / 12)
    assert value(at[8], "accuracy") == pytest.approx((3 / 4 + 1 / 4 + 0) / 3)
    assert columns_of(whole.capped(LIMIT)) == columns_of(whole)


def test_what_is_undefined_is_left_out() -> None:
    right = figures(outcomes({"a": [(2, True)]}))
    assert "wrong_tokens" not in right
    wrong = figures(outcomes({"a": [(2, False)]}))
    assert wrong.keys().isdisjoint({"correct_tokens", "tokens_per_correct"})
    ungraded = figures(outcomes({"a": [(2, None)]}))
    assert list(ungraded) == ["response_tokens", "truncated"]


def test_caps_halve_the_limit_unless_configured() -> None:
    assert chosen_caps([], 512) == [32, 64, 128, 256, 512]
    assert chosen_caps([], 5) == [1, 2, 5]
    assert chosen_caps([64, 8, 64], 512) == [8, 64]


def test_k_doubles_up_to_all_samples() -> None:
    assert doublings(1) == [1]
    assert doublings(6) == [1, 2, 4, 6]
    assert doublings(8) == [1, 2, 4, 8]


completions = st.tuples(st.integers(1, LIMIT), st.sampled_from([True, False, None]))
tables = st.integers(1, 4).flatmap(
    lambda k: st.dictionaries(
        st.text("abcdef", min_size=1, max_size=2),
        st.lists(completions, min_size=k, max_size=k),
        min_size=1,
        max_size=5,
    )
)


def values(of: Outcomes) -> dict[str, float]:
    return {name: column.value for name, column in columns(of).items()}


@settings(max_examples=40)
@given(tables)
def test_pass_at_1_is_the_accuracy(table: dict[str, list[tuple[int, bool | None]]]) -> None:
    found = values(outcomes(table))
    assert found.get("pass@1") == pytest.approx(found.get("accuracy"))


@settings(max_examples=40)
@given(tables)
def test_pass_at_k_grows_with_k(table: dict[str, list[tuple[int, bool | None]]]) -> None:
    graded = {name: [(n, bool(right)) for n, right in row] for name, row in table.items()}
    found = values(outcomes(graded))
    chances = [found[name] for name in found if name.startswith("pass@")]
    assert all(np.diff(chances) >= -1e-12)


@settings(max_examples=40)
@given(tables)
def test_more_tokens_never_lower_the_accuracy(
    table: dict[str, list[tuple[int, bool | None]]],
) -> None:
    whole = outcomes(table)
    curve = [values(whole.capped(cap)) for cap in range(1, LIMIT + 1)]
    for name, sign in (("accuracy", 1), ("response_tokens", 1), ("truncated", -1)):
        steps = np.diff([sign * at.get(name, 0.0) for at in curve])
        assert all(steps >= -1e-12), name


@settings(max_examples=40)
@given(tables, st.randoms())
def test_the_order_of_problems_and_samples_does_not_matter(
    table: dict[str, list[tuple[int, bool | None]]], random: Random
) -> None:
    names = random.sample(list(table), len(table))
    shuffled = {name: random.sample(table[name], len(table[name])) for name in names}
    assert values(outcomes(shuffled)) == pytest.approx(values(outcomes(table)))


@settings(max_examples=15)
@given(tables)
def test_a_figure_lies_in_its_interval_where_all_problems_agree(
    table: dict[str, list[tuple[int, bool | None]]],
) -> None:
    row = next(iter(table.values()))
    found = figures(outcomes(dict.fromkeys(table, row)))
    for name, figure in found.items():
        assert figure.low == pytest.approx(figure.value, abs=1e-8), name
        assert figure.high == pytest.approx(figure.value, abs=1e-8), name


def test_problems_with_different_numbers_of_completions_are_refused() -> None:
    with pytest.raises(ValueError, match=r"as many completions of one problem as of any other"):
        outcomes({"a": [(2, True)], "b": [(2, True), (3, True)]})
    with pytest.raises(ValueError, match="no completions"):
        collect([])


def test_levels_are_ordered_as_numbers_then_names() -> None:
    levels = ["hard", "10", "2", None, "2"]
    mixed = collect(Outcome(str(i), level, True, 3, False) for i, level in enumerate(levels))
    by_level = mixed.by_level()
    assert {level: at.problems for level, at in by_level.items()} == {
        "2": ("2", "4"),
        "10": ("1",),
        "hard": ("0",),
    }
    assert list(by_level) == ["2", "10", "hard"]
