from random import Random

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rl.algorithms.window_batch import WindowedGroup, is_mixed, window_batch


def group(rows, num_unfinished=0, scores=()):
    return WindowedGroup(
        rows=tuple(rows), num_unfinished=num_unfinished, finished_scores=tuple(scores)
    )


SAME = group([0, 1], scores=[1.0, 1.0])
FEW_OPEN = group([2, 3], num_unfinished=1, scores=[-1.0])
MANY_OPEN = group([4, 5], num_unfinished=2)
MIXED = group([6, 7], num_unfinished=0, scores=[1.0, -1.0, -1.0])


def chosen(num_rows, seed=0):
    groups = [SAME, FEW_OPEN, MANY_OPEN, MIXED]
    return window_batch(groups, num_rows, -1.0, 1.0, Random(seed))


def test_mixed_groups_come_first_then_the_most_unfinished_then_the_rest():
    assert chosen(8) == [6, 7, 4, 5, 2, 3, 0, 1]
    assert chosen(3) == [6, 7, 4]


def test_missing_rows_are_repeats():
    rows = chosen(11)
    assert rows[:8] == chosen(8) and set(rows[8:]) <= set(range(8))


def test_scores_of_earlier_steps_count():
    """One response ended now and one two steps ago."""
    assert is_mixed(group([3], scores=[1.0, -1.0]), -1.0, 1.0)
    assert not is_mixed(group([3], scores=[1.0]), -1.0, 1.0)
    assert not is_mixed(group([3]), -1.0, 1.0)


def test_mixed_groups_are_shuffled_and_a_seed_repeats_the_order():
    groups = [group([row], scores=[1.0, -1.0]) for row in range(20)]
    batches = [window_batch(groups, 20, -1.0, 1.0, Random(seed)) for seed in (1, 1, 2)]
    assert batches[0] == batches[1] != batches[2]
    assert sorted(batches[0]) == list(range(20))


def test_a_step_in_which_nothing_ran_is_refused():
    with pytest.raises(ValueError, match="nothing to train"):
        window_batch([group([])], 4, -1.0, 1.0, Random(0))


@settings(max_examples=40, deadline=None)
@given(sizes=st.lists(st.integers(1, 4), min_size=1, max_size=6), num_rows=st.integers(1, 30))
def test_no_row_repeats_before_every_row_is_in(sizes, num_rows):
    ends = [sum(sizes[: index + 1]) for index in range(len(sizes))]
    groups = [
        group(range(end - size, end), num_unfinished=size % 3)
        for size, end in zip(sizes, ends, strict=True)
    ]
    rows = window_batch(groups, num_rows, -1.0, 1.0, Random(0))
    assert len(rows) == num_rows
    assert len(set(rows)) == min(num_rows, sum(sizes))
