from hypothesis import given
from hypothesis import strategies as st

from rollout.staleness import can_wait, choose, room


def test_synchronous_runs_have_room_for_what_the_update_lacks() -> None:
    assert room(8, groups_ahead=0, num_taken=0, num_open=0) == 8
    assert room(8, groups_ahead=0, num_taken=5, num_open=0) == 3
    assert room(8, groups_ahead=0, num_taken=0, num_open=9) == 0


def test_asynchronous_runs_hold_one_update_more_per_version_of_staleness() -> None:
    assert room(8, groups_ahead=16, num_taken=0, num_open=0) == 24
    assert room(8, groups_ahead=16, num_taken=8, num_open=16) == 0


def test_nobody_overtakes_without_staleness() -> None:
    assert choose([False, True, True], [4, 4, 4], 2, version=4, per_update=2) is None
    assert choose([True, True, False], [4, 4, 4], 2, version=4, per_update=2) == [0, 1]


def test_an_early_one_overtakes_one_that_can_still_be_trained_in_time() -> None:
    assert choose([False, True, True, False], [5, 5, 5, 5], 2, version=4, per_update=2) == [1, 2]


def test_the_update_waits_for_groups_that_the_next_ones_could_not_all_take() -> None:
    overtaken = [False] * 3
    assert choose([*overtaken, True, True], [5] * 5, 2, version=4, per_update=2) is None
    assert choose([*overtaken, True, True], [6] * 5, 2, version=4, per_update=2) == [3, 4]


def test_an_update_waits_until_enough_are_ready_and_takes_what_there_is_when_nothing_runs() -> None:
    assert choose([True, False], [5, 5], 2, version=4, per_update=2) is None
    assert choose([True], [5], 2, version=4, per_update=2) == [0]
    assert choose([], [], 2, version=4, per_update=2) == []


def test_what_is_too_old_already_is_not_waited_for() -> None:
    assert can_wait([3, 3, 5], version=4, per_update=1)
    assert not can_wait([3, 4], version=4, per_update=1)


@st.composite
def schedules(draw: st.DrawFn) -> tuple[int, int, list[int], list[int]]:
    """Groups per update, staleness, and how many updates each group takes to be ready."""
    per_update, staleness = draw(st.integers(1, 4)), draw(st.integers(0, 3))
    durations = draw(st.lists(st.integers(0, 9), min_size=1, max_size=60))
    order = draw(st.permutations(range(len(durations))))
    return per_update, staleness, durations, list(order)


@given(schedules())
def test_no_schedule_makes_a_group_miss_its_deadline(
    schedule: tuple[int, int, list[int], list[int]],
) -> None:
    """The engine finishes groups in any order; an update waits as long as `choose` says None."""
    per_update, staleness, durations, order = schedule
    rank = {group: place for place, group in enumerate(order)}
    waiting = list(range(len(durations)))
    open_groups: list[tuple[int, int]] = []
    is_ready: dict[int, bool] = {}
    version = 0
    while waiting or open_groups:
        for _ in range(room(per_update, staleness * per_update, 0, len(open_groups))):
            if waiting:
                open_groups.append((waiting.pop(0), version + staleness))
        while (
            taken := choose(
                [is_ready.get(group, False) for group, _ in open_groups],
                [deadline for _, deadline in open_groups],
                per_update,
                version,
                per_update,
            )
        ) is None:
            running = [group for group, _ in open_groups if not is_ready.get(group)]
            is_ready[min(running, key=lambda group: (durations[group], rank[group]))] = True
        assert all(open_groups[at][1] >= version for at in taken)
        open_groups = [pair for at, pair in enumerate(open_groups) if at not in taken]
        version += 1


@given(schedules())
def test_a_choice_holds_the_oldest_ready_groups_in_their_order(
    schedule: tuple[int, int, list[int], list[int]],
) -> None:
    per_update, staleness, durations, _ = schedule
    ready = [duration % 2 == 0 for duration in durations]
    deadlines = [3 + staleness + at // per_update for at in range(len(durations))]
    taken = choose(ready, deadlines, per_update, 3, per_update)
    if taken is not None:
        assert taken == [at for at, is_so in enumerate(ready) if is_so][:per_update]
