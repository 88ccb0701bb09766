from itertools import pairwise
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish
from rollout.trees.config import Divergence, FallbackAt, FallbackFrom
from rollout.trees.fallback import all_leaves, at_prompt, before_unlikely
from rollout.trees.options import CANDIDATES, CUTS, deals
from rollout.trees.segments import num_tokens, token_ids
from rollout.trees.state import Start
from tests.rollout.tree_builders import Grown, begun, grow, sampled

RULES = st.fixed_dictionaries(
    {
        "depth": st.integers(1, 6),
        "first_divergence": st.tuples(st.integers(1, 3), st.integers(3, 9)),
        "divergence": st.tuples(st.integers(1, 2), st.integers(2, 4)),
        "deal": st.sampled_from([deals(1.0)[name] for name in Divergence]),
        "restart_at_once": st.booleans(),
        "candidates": st.sampled_from([CANDIDATES[name] for name in FallbackFrom]),
        "cut": st.sampled_from([CUTS[name] for name in FallbackAt]),
    }
)


def never(start: Start) -> bool:
    return False


def level(grown: Grown, stopping: int = 0) -> int:
    """Ends all running segments, the first `stopping` by themselves; the paths that now run."""
    for number, start in enumerate(list(grown.running)):
        grown.end(start, 1 if number < stopping else None)
    return len(grown.running)


def test_two_paths_of_two_make_four_leaves_that_share_their_beginnings() -> None:
    grown = begun(4, limit=8)
    assert [(s.id, s.limit) for s in grown.running] == [("t/s0", 4), ("t/s1", 4)]
    assert level(grown) == 4 and level(grown) == 0
    chains = [[segment.id for segment in leaf.segments] for leaf in grown.leaves]
    assert chains == [["t/s0", "t/s2"], ["t/s0", "t/s3"], ["t/s1", "t/s4"], ["t/s1", "t/s5"]]
    assert {leaf.finish for leaf in grown.leaves} == {Finish.LIMIT}


@given(st.integers(1, 40), st.integers(1, 5))
def test_in_step_and_without_ends_the_paths_are_those_of_the_published_rule(
    width: int, branches: int
) -> None:
    grown = begun(width, first_divergence=(branches, branches), divergence=(branches, branches))
    for depth in range(2, 7):
        assert level(grown) == min(width, branches**depth)


def test_path_that_ends_hands_its_branches_and_leaves_on() -> None:
    # children = max(a, min(w - f, b f' + b a)) = min(16 - 1, 2 * 1 + 2 * 1)
    grown = begun(16)
    assert level(grown, stopping=1) == 4
    assert [level(grown), level(grown)] == [8, 15]


@given(st.integers(2, 24), st.integers(1, 4), st.lists(st.integers(0, 3), max_size=5))
def test_in_step_there_are_never_more_paths_than_the_published_rule_has(
    width: int, branches: int, stops: list[int]
) -> None:
    grown = begun(width, first_divergence=(branches, branches), divergence=(branches, branches))
    for stopping in stops:
        before = len(grown.running)
        stopping = min(stopping, before - 1)
        after, goes_on = level(grown, stopping), before - stopping
        most = max(goes_on, min(width - len(grown.leaves), branches * before))
        assert goes_on <= after <= most


def test_subtree_that_runs_ahead_takes_no_leaf_from_a_slower_one() -> None:
    grown = begun(8, limit=100)
    slow = grown.running[1]
    while fast := [start for start in grown.running if start is not slow]:
        grown.end(fast[0])
    assert len(grown.leaves) == 4
    grow(grown, Random(0), never)
    roots = [leaf.segments[0].id for leaf in grown.leaves]
    assert roots == ["t/s0"] * 4 + ["t/s1"] * 4


def test_tree_without_a_running_path_begins_again_inside_a_leaf() -> None:
    grown = begun(8, first_divergence=(1, 1), divergence=(3, 3), limit=100, depth=2)
    only = grown.running[0]
    grown.end(only, num_tokens=2)
    # three copies of the one candidate, cut to no segment, hold the seven missing leaves
    assert [start.segments for start in grown.running] == [(), (), ()]
    grow(grown, Random(0), never)
    assert len(grown.leaves) == 8


def test_restart_at_once_leaves_the_running_paths_what_they_hold() -> None:
    grown = begun(8, limit=100, restart_at_once=True, cut=at_prompt)
    first, second = grown.running
    assert [start.segments for start in grown.end(first, num_tokens=1)] == [(), ()]
    while under := [s for s in grown.running if s is second or "t/s1" in prefix_ids(s)]:
        grown.end(under[0])
    assert len(grown.leaves) == 1 + 4


def prefix_ids(start: Start) -> list[str]:
    return [segment.id for segment in start.segments]


def test_aborted_response_is_a_leaf_that_nothing_continues() -> None:
    grown = begun(3, first_divergence=(1, 1), candidates=all_leaves, cut=before_unlikely)
    leaf, starts = grown.state.ended("t/s0", sampled([], Finish.ABORTED))
    assert leaf is not None and leaf.finish is Finish.ABORTED
    assert [start.segments for start in starts] == [(), ()]


def test_last_segment_runs_to_the_limit_and_all_leaves_part_before_it() -> None:
    grown = begun(8, limit=100, depth=2)
    first, second = grown.running
    assert [start.limit for start in grown.end(first)] == [96] * 4
    assert [start.limit for start in grown.end(second)] == [96] * 4


def test_tree_of_depth_one_is_one_request_for_each_leaf() -> None:
    starts = begun(5, limit=100, depth=1).running
    assert [(start.limit, start.segments) for start in starts] == [(100, ())] * 5


def test_tree_of_width_one_is_a_chain() -> None:
    grown = grow(begun(1, limit=10), Random(0), never)
    (leaf,) = grown.leaves
    assert [num_tokens((segment,)) for segment in leaf.segments] == [4, 4, 2]


def test_text_ends_a_path_at_the_end_of_a_segment() -> None:
    def ending(segments):
        return Finish.REPETITION if len(segments) == 2 else None

    grown = grow(begun(2, limit=100, ending=ending), Random(0), never)
    assert [(leaf.finish, num_tokens(leaf.segments)) for leaf in grown.leaves] == [
        (Finish.REPETITION, 8),
        (Finish.REPETITION, 8),
    ]


def test_text_is_not_read_when_the_response_has_ended_anyway() -> None:
    def ending(segments):
        raise AssertionError(segments)

    grown = begun(2, limit=4, ending=ending)
    grown.end(grown.running[0])
    grown.end(grown.running[0], num_tokens=4)
    assert [leaf.finish for leaf in grown.leaves] == [Finish.LIMIT, Finish.STOP]


def test_divergence_is_drawn_between_its_bounds() -> None:
    counts = [len(begun(9, seed=seed, first_divergence=(2, 4)).running) for seed in range(40)]
    assert set(counts) == {2, 3, 4}


@given(st.integers(1, 12), st.integers(1, 30), RULES, st.randoms(use_true_random=False), st.data())
def test_tree_has_exactly_its_leaves_whatever_ends_first(width, limit, rules, random, data) -> None:
    stops = data.draw(st.sampled_from([0.0, 0.3, 0.9]), "chance to stop")
    grown = begun(width, limit=limit, **rules)
    grow(grown, random, lambda start: random.random() < stops)
    assert len(grown.leaves) == width
    for leaf in grown.leaves:
        assert len(leaf.segments) <= rules["depth"]
        assert num_tokens(leaf.segments) <= limit
        full = num_tokens(leaf.segments) == limit
        assert leaf.finish is Finish.STOP or full
    assert_is_tree(grown)


def assert_is_tree(grown: Grown) -> None:
    """Every segment has one place, its tokens are the same in all leaves, and none is wasted."""
    continued = {start.id: [segment.id for segment in start.segments] for start in grown.starts}
    assert len(continued) == len(grown.starts)
    seen = set()
    for leaf in grown.leaves:
        ids = [segment.id for segment in leaf.segments]
        seen |= set(ids)
        assert all(continued[name] == ids[:place] for place, name in enumerate(ids))
        own = [token for name in ids for token in grown.segments[name].completion.token_ids]
        assert token_ids(leaf.segments).tolist() == own
    assert seen == set(continued)
    ends = [leaf.segments[-1].id for leaf in grown.leaves]
    assert len(set(ends)) == len(ends)


@pytest.mark.parametrize("seed", range(3))
def test_same_ends_in_the_same_order_grow_the_same_tree(seed: int) -> None:
    def tree() -> list[list[str]]:
        random = Random(seed)
        grown = grow(begun(8, seed=seed), random, lambda start: random.random() < 0.4)
        return [[segment.id for segment in leaf.segments] for leaf in grown.leaves]

    assert tree() == tree()


def test_leaves_end_in_the_order_of_their_last_segments() -> None:
    random = Random(5)
    grown = grow(begun(8), random, lambda start: random.random() < 0.4)
    order = list(grown.segments)
    ends = [order.index(leaf.segments[-1].id) for leaf in grown.leaves]
    assert all(one < other for one, other in pairwise(ends))
