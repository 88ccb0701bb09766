import json

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.scheduling.oversample import OversampledSteps


def test_a_step_is_cut_when_it_has_its_groups_and_the_rest_is_resumed_first():
    steps = OversampledSteps(2, 1.5)
    assert steps.num_fresh == 3
    assert steps.begin(["a", "b", "c"]) == ["a", "b", "c"]
    steps.ended("c")
    assert not steps.complete
    steps.ended("a")
    assert steps.complete and steps.finish() == ["c", "a"]
    assert steps.num_fresh == 2
    assert steps.begin(["d", "e"]) == ["b", "d", "e"]


def test_a_group_that_ended_during_the_cut_is_the_next_steps():
    steps = OversampledSteps(1, 2.0)
    steps.begin(["a", "b"])
    steps.ended("b")
    steps.ended("a")
    assert steps.finish() == ["b"]
    assert steps.num_fresh == 1
    steps.begin(["c"])
    assert steps.complete and steps.finish() == ["a"]


def test_without_oversampling_a_step_waits_for_all_of_its_groups():
    steps = OversampledSteps(2, 1.0)
    steps.begin(["a", "b"])
    steps.ended("a")
    assert not steps.complete
    steps.ended("b")
    assert steps.finish() == ["a", "b"] and steps.num_fresh == 2


def test_an_id_in_use_and_impossible_numbers_are_refused():
    steps = OversampledSteps(1, 2.0)
    steps.begin(["a", "b"])
    steps.ended("a")
    steps.finish()
    with pytest.raises(ValueError, match="used once"):
        steps.begin(["b"])
    with pytest.raises(ValueError, match=r"oversampling=0\.5"):
        OversampledSteps(1, 0.5)


@settings(max_examples=40, deadline=None)
@given(
    num_groups=st.integers(1, 4),
    oversampling=st.floats(1, 3),
    orders=st.lists(st.randoms(use_true_random=False), min_size=1, max_size=6),
)
def test_every_group_is_taken_once_or_still_under_way(num_groups, oversampling, orders):
    """Groups end in any order until the step is complete; the state is restored at each step."""
    state = OversampledSteps(num_groups, oversampling).state()
    drawn, taken = [], []
    for step, order in enumerate(orders):
        steps = OversampledSteps(num_groups, oversampling)
        steps.load(json.loads(json.dumps(state)))
        fresh = [f"{step}/{index}" for index in range(steps.num_fresh)]
        drawn += fresh
        running = steps.begin(fresh)
        order.shuffle(running)
        while not steps.complete:
            steps.ended(running.pop())
        batch = steps.finish()
        assert len(batch) == num_groups
        taken += batch
        state = steps.state()
    assert sorted(taken + state["carried"] + state["done"]) == sorted(drawn)
