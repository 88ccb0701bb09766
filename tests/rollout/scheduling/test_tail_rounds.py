import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.scheduling.tail_rounds import RoundKind, TailRounds


def rounds_of(num_groups=2, num_samples=2, group_factor=1.5, sample_factor=1.5):
    return TailRounds(
        num_groups=num_groups,
        num_samples=num_samples,
        group_factor=group_factor,
        sample_factor=sample_factor,
    )


def test_a_short_round_keeps_the_first_complete_groups_and_queues_the_others():
    rounds = rounds_of()
    launched = rounds.begin(["a", "b", "c"])
    assert (launched.kind, launched.num_samples) == (RoundKind.SHORT, 3)
    assert [rounds.ended(name) for name in "caacc"] == [True, True, True, True, False]
    assert rounds.complete and not rounds.ended("b")
    assert rounds.finish() == ["a", "c"] and rounds.queue == ("b",)


def test_a_queue_that_fills_a_round_gets_one_without_a_cut():
    rounds = rounds_of()
    for first, second, slow in (("a", "b", "slow"), ("c", "d", "slower")):
        rounds.begin([first, second, slow])
        for name in (first, first, second, second):
            rounds.ended(name)
        rounds.finish()
    assert rounds.num_fresh == 0
    launched = rounds.begin([])
    assert (launched.kind, launched.num_samples) == (RoundKind.LONG, 2)
    assert launched.group_ids == ("slow", "slower") and rounds.queue == ()
    for name in ("slow", "slow", "slower"):
        assert rounds.ended(name) and not rounds.complete
    assert rounds.ended("slower") and rounds.complete
    assert rounds.finish() == ["slow", "slower"] and rounds.num_fresh == 3


def test_draws_that_do_not_fit_the_round_are_refused():
    rounds = rounds_of()
    with pytest.raises(ValueError, match="1 groups for a round: draw 3"):
        rounds.begin(["a"])
    with pytest.raises(ValueError, match="ids not in use"):
        rounds.begin(["a", "a", "b"])
    with pytest.raises(ValueError, match=r"sample_factor=0\.5: set 1 or more"):
        rounds_of(sample_factor=0.5)


@settings(max_examples=40, deadline=None)
@given(
    num_groups=st.integers(1, 3),
    group_factor=st.floats(1, 2.5),
    orders=st.lists(st.randoms(use_true_random=False), min_size=1, max_size=8),
)
def test_every_group_is_kept_once_or_still_queued(num_groups, group_factor, orders):
    """Samples end in any order until the round is complete; the state is restored each time."""
    options = {"num_groups": num_groups, "group_factor": group_factor}
    state = rounds_of(**options).state()
    drawn, kept = [], []
    for step, order in enumerate(orders):
        rounds = rounds_of(**options)
        rounds.load(json.loads(json.dumps(state)))
        fresh = [f"{step}/{index}" for index in range(rounds.num_fresh)]
        drawn += fresh
        launched = rounds.begin(fresh)
        samples = [name for name in launched.group_ids for _ in range(launched.num_samples)]
        order.shuffle(samples)
        used = []
        while not rounds.complete:
            name = samples.pop()
            used += [name] if rounds.ended(name) else []
        batch = rounds.finish()
        assert len(batch) == num_groups and all(used.count(name) == 2 for name in batch)
        kept += batch
        state = rounds.state()
    assert sorted(kept + state["queue"]) == sorted(drawn)
    assert len(state["queue"]) < 2 * rounds_of(**options).num_fresh
