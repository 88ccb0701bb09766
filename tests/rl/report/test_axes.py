from itertools import combinations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.report.axes import Frame, linear, logarithmic, padded, placed_labels, ticks
from rl.report.marks import text_width

FRAME = Frame(left=0, right=200, top=0, bottom=100, x=linear(0, 1, 0, 200), y=linear(0, 1, 100, 0))


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 107, [0, 25, 50, 75, 100]),
        (0.83, 0.98, [0.85, 0.9, 0.95]),
        (-0.3, 0.3, [-0.2, 0.0, 0.2]),
        (0, 0, [0]),
    ],
)
def test_ticks_are_round_numbers(low: float, high: float, expected: list[float]) -> None:
    assert ticks(low, high) == expected


@given(st.floats(-1e6, 1e6), st.floats(1e-3, 1e6))
def test_ticks_lie_inside_and_are_few(low: float, span: float) -> None:
    found = ticks(low, low + span)
    slack = 1e-6 * (abs(low) + span)
    assert all(low - slack <= tick <= low + span + slack for tick in found)
    assert 1 <= len(found) <= 7


def test_scales_map_the_ends_to_the_ends() -> None:
    assert [linear(2, 4, 10, 30)(v) for v in (2, 3, 4)] == [10, 20, 30]
    assert [logarithmic(16, 64, 0, 100)(v) for v in (16, 32, 64)] == [0, 50, 100]


def test_a_range_is_never_empty() -> None:
    assert padded([0.0]) == (-1.0, 1.0)
    assert padded([0.0, 1.0], 0.1) == (-0.1, 1.1)


@given(st.lists(st.tuples(st.floats(0, 200), st.floats(0, 100)), max_size=12))
def test_labels_never_cover_each_other_and_stay_inside(places: list[tuple[float, float]]) -> None:
    labels = placed_labels([(x, y, "label") for x, y in places], [], FRAME, "text", 10)
    width = text_width("label", 10)
    for label in labels:
        assert label.x >= 0 and label.x + width <= 202 and label.y <= 98
    for one, other in combinations(labels, 2):
        assert abs(one.x - other.x) >= width - 1e-9 or abs(one.y - other.y) >= 12 - 1e-9


def test_a_label_moves_to_the_other_side_when_its_place_is_taken() -> None:
    (free,) = placed_labels([(100, 50, "ab")], [], FRAME, "text", 10)
    (moved,) = placed_labels([(100, 50, "ab")], [(101, 40, 140, 60)], FRAME, "text", 10)
    assert free.x == 107 and moved.x == pytest.approx(100 - 7 - text_width("ab", 10))
