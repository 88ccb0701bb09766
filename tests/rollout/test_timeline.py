import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.timeline import (
    Activity,
    Kind,
    idle_share,
    mean_running,
    seconds_by_running,
    tail_seconds,
)


def activity(start: float, end: float) -> Activity:
    return Activity(kind=Kind.GENERATE, lane="engine", name="r", start=start, end=end)


def test_idle_is_what_no_record_covers() -> None:
    assert idle_share([activity(1, 3), activity(2, 4), activity(8, 9)], 0, 10) == 0.6
    assert idle_share([activity(0, 10), activity(2, 3)], 0, 10) == 0.0
    assert idle_share([activity(0, 20)], 5, 15) == 0.0


def test_running_is_the_mean_over_time_of_what_runs_at_once() -> None:
    """Two run for 2 s, one for 4 s: 8 request-seconds in 10 s."""
    assert mean_running([activity(0, 2), activity(1, 3), activity(4, 8)], 0, 10) == 0.8
    assert mean_running([activity(-5, 1), activity(9, 20), activity(30, 40)], 0, 10) == 0.2


def test_a_stretch_without_length_is_neither_idle_nor_busy() -> None:
    assert (idle_share([], 3, 3), mean_running([activity(0, 9)], 3, 3)) == (0.0, 0.0)


def test_time_is_told_apart_by_how_many_run() -> None:
    """0 to 2 alone, 2 to 3 with the second, 3 to 5 the second alone, idle to 6; outside is cut."""
    records = [activity(-1, 3), activity(2, 5), activity(7, 9)]
    assert seconds_by_running(records, 0, 6) == {1: 4.0, 2: 1.0, 0: 1.0}
    assert seconds_by_running([], 3, 3) == {}


def test_the_tail_is_where_an_eighth_of_the_most_or_fewer_run() -> None:
    assert tail_seconds({0: 9.0, 1: 4.0, 2: 2.0, 3: 1.0, 16: 5.0}) == 6.0
    assert tail_seconds({0: 9.0, 1: 4.0, 7: 5.0}) == 0.0
    assert tail_seconds({}) == 0.0


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), max_size=12))
def test_seconds_by_number_add_up_to_the_time_and_to_its_means(
    found: list[tuple[int, int]],
) -> None:
    records = [activity(start, start + seconds) for start, seconds in found]
    seconds = seconds_by_running(records, 5, 15)
    assert sum(seconds.values()) == 10
    assert seconds.get(0, 0.0) / 10 == pytest.approx(idle_share(records, 5, 15))
    total = sum(running * each for running, each in seconds.items())
    assert total / 10 == pytest.approx(mean_running(records, 5, 15))


@given(st.lists(st.tuples(st.integers(0, 20), st.integers(1, 9)), max_size=12))
def test_what_never_overlaps_runs_as_long_as_the_lane_is_not_idle(
    found: list[tuple[int, int]],
) -> None:
    records, reached = [], 0
    for gap, seconds in found:
        records.append(activity(reached + gap, reached + gap + seconds))
        reached += gap + seconds
    busy = 1 - idle_share(records, 0, reached + 1)
    assert mean_running(records, 0, reached + 1) == pytest.approx(busy)
