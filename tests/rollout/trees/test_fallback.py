from collections import Counter
from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish
from rollout.trees.fallback import (
    all_leaves,
    at_prompt,
    at_random,
    before_likely,
    before_unlikely,
    ended_leaves,
    longest_leaves,
    restarts,
)
from tests.rollout.tree_builders import leaf, segment

A, B, C = segment("a", [1]), segment("b", [2, 2], logprob=-2.0), segment("c", [3])
SHORT, LONG = leaf(A), leaf(A, B, C)
LOOP = leaf(A, B, finish=Finish.REPETITION)
CUT = leaf(A, C, finish=Finish.LIMIT)


def restarted(leaves, slots, copies=2, candidates=longest_leaves, cut=at_prompt):
    found = restarts(leaves, slots, copies=copies, candidates=candidates, cut=cut, random=Random(0))
    return [[part.id for part in prefix] for prefix in found]


def keep_all_but_the_last(found, random):
    return len(found.segments) - 1


def test_each_candidate_is_continued_by_copies_while_there_is_room():
    leaves = [LOOP, LONG, SHORT]
    assert restarted(leaves, 5, cut=keep_all_but_the_last) == [["a", "b"]] * 2 + [["a"]] * 2 + [[]]


def test_few_candidates_leave_slots_to_later_branches():
    assert restarted([LONG], 7, cut=keep_all_but_the_last) == [["a", "b"]] * 2


def test_without_a_candidate_the_tree_begins_at_the_prompt():
    assert restarted([LOOP, CUT], 5, copies=3, candidates=ended_leaves) == [[], [], []]


def test_candidates():
    leaves = [LOOP, LONG, SHORT, CUT]
    assert set(map(id, ended_leaves(leaves, Random(0)))) == {id(LONG), id(SHORT)}
    assert Counter(map(id, all_leaves(leaves, Random(0)))) == Counter(map(id, leaves))
    assert longest_leaves([SHORT, LONG, LOOP], Random(0)) == [LONG, LOOP, SHORT]


def test_order_of_candidates_is_random():
    firsts = {id(ended_leaves([LONG, SHORT], Random(seed))[0]) for seed in range(20)}
    assert firsts == {id(LONG), id(SHORT)}


def test_random_cut_keeps_every_number_of_segments_equally_often():
    random = Random(0)
    times = Counter(at_random(LONG, random) for _ in range(3000))
    assert set(times) == {0, 1, 2} and max(times.values()) < 1.1 * min(times.values())


@pytest.mark.parametrize(("cut", "expected"), [(before_unlikely, 2.24), (before_likely, 0.112)])
def test_cut_by_log_prob_follows_the_means_of_the_segments(cut, expected):
    # mean log-probs -0.5, -2, -0.5: odds of the middle one e^1.5 / 2 = 2.24, or e^-1.5 / 2 = 0.112
    random = Random(0)
    times = Counter(cut(LONG, random) for _ in range(20000))
    assert times[1] / (times[0] + times[2]) == pytest.approx(expected, rel=0.1)


@given(st.sampled_from([at_random, at_prompt, before_unlikely, before_likely]), st.integers(1, 9))
def test_every_cut_drops_the_last_segment_at_least(cut, depth):
    found = leaf(*(segment(f"s{n}", [n]) for n in range(depth)))
    assert 0 <= cut(found, Random(depth)) < depth
