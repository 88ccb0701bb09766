from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.deadlines import may_take, room


@pytest.mark.parametrize(
    ("version", "max_staleness", "num_accepted", "expected"),
    [
        (0, 0, 0, 4),  # the synchronous run starts
        (0, 0, 4, 0),  # and submits nothing while it learns,
        (1, 0, 4, 4),  # until the next weights are there
        (0, 2, 0, 12),
        (3, 2, 20, 4),
        (3, 2, 99, 0),
    ],
)
def test_room_is_areals_admission(version, max_staleness, num_accepted, expected):
    assert room(version, 4, max_staleness, num_accepted) == expected


@pytest.mark.parametrize(
    ("ready", "running", "expected"),
    [
        ({5: 2}, {}, True),
        ({5: 1}, {9: 7}, False),  # too few are ready
        ({6: 2}, {5: 1}, False),  # who is due now is waited for
        ({6: 2}, {6: 2}, True),  # the next update can take both
        ({6: 2}, {6: 3}, False),  # but not three
        ({6: 2}, {6: 2, 7: 3}, False),  # nor the two after it five
        ({6: 3}, {6: 1, 7: 2}, True),
    ],
)
def test_update_5_takes_two_groups_when_nobody_is_left_behind(ready, running, expected):
    assert may_take(ready, running, update=5, num_groups=2) is expected


deadlines = st.lists(st.integers(0, 4), max_size=10)


@given(deadlines, deadlines, st.integers(1, 3))
def test_it_says_what_playing_the_next_updates_says(ready, running, num_groups):
    """The slow reference: take the batch, then by deadline, as if everybody else were ready."""
    rest = sorted(sorted(ready)[num_groups:] + running)
    in_time = (
        all(deadline >= 1 + place // num_groups for place, deadline in enumerate(rest))
        and len(ready) >= num_groups
    )
    assert may_take(Counter(ready), Counter(running), 0, num_groups) is in_time
