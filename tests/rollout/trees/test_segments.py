from dataclasses import replace

from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, Span
from rollout.engine import Sampling
from rollout.trees.segments import Segment, leaf_completion, segment_ids, segment_lengths, spans
from tests.rollout.tree_builders import leaf, sampled, segment

ROOT, LEFT, RIGHT = segment("s0", [1, 2]), segment("s1", [3]), segment("s2", [4, 5])


def decode(token_ids):
    return " ".join(map(str, token_ids))


def completion(*segments, name="x"):
    return leaf_completion(leaf(*segments), Sampling(id=name, limit=9), decode)


def test_leaf_is_its_segments_in_a_row():
    whole = completion(ROOT, RIGHT)
    assert whole.token_ids.tolist() == [1, 2, 4, 5] and whole.text == "1 2 4 5"
    assert whole.id == "x" and whole.limit == 9 and whole.finish is Finish.STOP
    assert whole.num_tokens == 4


def test_span_names_the_segment_that_its_own_continues():
    assert spans((ROOT, RIGHT)) == (
        Span(start=0, stop=2, weight_version=0, parent=None),
        Span(start=2, stop=4, weight_version=0, parent="s0"),
    )


def test_segment_under_two_weight_versions_stays_one_segment():
    both = Span(start=0, stop=1, weight_version=6), Span(start=1, stop=3, weight_version=7)
    mixed = Segment(id="s3", completion=replace(sampled([6, 7, 8]), spans=both))
    whole = completion(ROOT, mixed)
    assert [(s.start, s.stop, s.weight_version, s.parent) for s in whole.spans] == [
        (0, 2, 0, None),
        (2, 3, 6, "s0"),
        (3, 5, 7, "s0"),
    ]
    assert segment_lengths(whole) == {"s0": 2, "x": 3} and whole.weight_versions == (0, 7)


def test_leaves_share_exactly_the_segments_that_both_continue():
    assert segment_ids(
        [
            completion(ROOT, LEFT, segment("s4", [9]), name="x"),
            completion(ROOT, RIGHT, name="y"),
            completion(ROOT, LEFT, segment("s5", [9]), name="z"),
        ]
    ) == [["s0", "s1", "x"], ["s0", "y"], ["s0", "s1", "z"]]


def test_completion_sampled_in_one_go_is_one_segment():
    assert segment_lengths(replace(sampled([1, 2, 3]), id="alone")) == {"alone": 3}


@given(st.lists(st.integers(1, 5), min_size=1, max_size=6))
def test_lengths_are_those_of_the_segments(lengths):
    chain = [segment(f"s{n}", [n] * length) for n, length in enumerate(lengths)]
    found = segment_lengths(completion(*chain))
    assert list(found.values()) == lengths
    assert list(found) == [*(part.id for part in chain[:-1]), "x"]
