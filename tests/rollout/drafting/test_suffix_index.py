import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.drafting.suffix_index import DEPTH, GRAMS, NO_TOKEN, SuffixIndex


def indexed(sequences, *, ways=4, max_tokens=64, chunk=64):
    """One prompt's sequences, appended `chunk` tokens of each at a time."""
    index = SuffixIndex(num_slots=2, ways=ways, max_tokens=max_tokens)
    lanes = np.arange(len(sequences))
    index.empty(lanes)
    for start in range(0, max(map(len, sequences)), chunk):
        index.append(lanes, [sequence[start : start + chunk] for sequence in sequences])
    return index


def found(index, lane):
    """(other lane, its position without the lead, match length) of every candidate."""
    candidates = index.candidates(np.array([lane]))
    rows = zip(
        candidates.lanes[0].tolist(),
        (candidates.positions[0] - DEPTH).tolist(),
        candidates.matches[0].tolist(),
        strict=True,
    )
    return [row for row in rows if row[2]]


def test_finds_where_the_last_tokens_stood_in_another_sequence():
    """Sequence 1 ends with 2 3, which stood in sequence 0 before its 4."""
    index = indexed([[1, 2, 3, 4, 5], [9, 2, 3]])
    assert found(index, 1) == [(0, 3, 2)]
    (continuation,) = index.continuations(index.candidates(np.array([1])), 3).tolist()
    missing = [NO_TOKEN] * 3
    assert sorted(continuation) == [missing, missing, missing, [4, 5, NO_TOKEN]]


def test_finds_where_they_stood_in_its_own():
    assert found(indexed([[6, 7, 8, 6, 7]]), 0) == [(0, 2, 2)]


def test_latest_place_counts_unless_an_earlier_one_matches_longer():
    """3 stood last before 9; but 1 2 3 before 5."""
    assert found(indexed([[1, 2, 3, 5, 3, 9], [4, 3]]), 1) == [(0, 5, 1)]
    assert found(indexed([[1, 2, 3, 5, 3, 9], [4, 1, 2, 3]]), 1) == [(0, 3, 3)]


@pytest.mark.parametrize("length", [2, 40])
def test_equal_beginnings_match_to_the_depth(length):
    """Nothing stands before either: a sequence as long as both could not match longer."""
    beginning = list(range(length))
    (candidate,) = found(indexed([[*beginning, 7], beginning]), 1)
    assert candidate == (0, length, DEPTH)


def test_other_prompts_are_not_searched():
    index = SuffixIndex(num_slots=2, ways=2, max_tokens=16)
    index.empty(np.arange(4))
    index.append(np.array([0, 2]), [[1, 2, 3, 4], [1, 2, 3]])
    assert found(index, 2) == []
    assert found(index, 0) == []


def test_emptied_lane_is_not_found_and_takes_a_new_sequence():
    index = indexed([[1, 2, 3, 4], [1, 2]])
    index.empty(np.array([0]))
    assert found(index, 1) == []
    index.append(np.array([0]), [[8, 2, 9]])
    assert found(index, 1) == [(0, 2, 1)]
    assert index.sequence(0).tolist() == [8, 2, 9]


def test_siblings_meet_the_lanes_in_different_order():
    index = indexed([[1, 2], [1, 3], [1], [1]])
    order = index.candidates(np.array([2, 3])).lanes.tolist()
    assert order == [[0, 1, 2, 3], [1, 2, 3, 0]]


def test_too_long_a_sequence_is_our_mistake():
    with pytest.raises(AssertionError, match="too long"):
        indexed([list(range(9))], max_tokens=8)


def slow_candidate(own, other):
    """The longest match among the latest places of the last n tokens, for each n.

    Both have their lead: nothing, DEPTH times.
    """
    own, other = ([NO_TOKEN] * DEPTH + each for each in (own, other))
    longest = 0
    for n in GRAMS:
        places = [p for p in range(DEPTH, len(other)) if other[p - n : p] == own[-n:]]
        for place in places[-1:]:
            same = [a == b for a, b in zip(own[::-1], other[:place][::-1], strict=False)]
            longest = max(longest, [*same[:DEPTH], False].index(False))
    return longest


def test_candidates_equal_the_slow_search():
    rng = np.random.default_rng(0)
    for _ in range(20):
        sequences = [rng.integers(3, size=rng.integers(1, 25)).tolist() for _ in range(3)]
        index = indexed(sequences, max_tokens=50_000, chunk=5)
        for lane, own in enumerate(sequences):
            slow = [slow_candidate(own, other) for other in sequences]
            lengths = {other: length for other, _, length in found(index, lane)}
            assert [lengths.get(other, 0) for other in range(3)] == slow


@settings(max_examples=40)
@given(
    st.lists(st.lists(st.integers(0, 3), min_size=1, max_size=32), min_size=1, max_size=4),
    st.integers(1, 32),
)
def test_every_candidate_is_true_even_when_cells_collide(sequences, chunk):
    """64 cells for up to 31 n-grams of each length."""
    index = indexed(sequences, max_tokens=32, chunk=chunk)
    for lane, own in enumerate(sequences):
        for other, position, length in found(index, lane):
            sequence = sequences[other]
            assert 0 < position < len(sequence)
            reach = min(length, position, len(own))
            assert own[-reach:] == sequence[position - reach : position]
