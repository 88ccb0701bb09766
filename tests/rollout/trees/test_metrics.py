from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Completion, Group, Prompt, Verdict
from rollout.engine import Sampling
from rollout.trees.metrics import (
    distinct_answers,
    leaf_masses,
    mixed_share,
    ngram_overlap,
    sampled_tokens,
    sampled_tokens_per_leaf,
    saved_share,
)
from rollout.trees.segments import leaf_completion
from tests.rollout.tree_builders import Grown, begun, grow, leaf, segment

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")
RIGHT, WRONG, FAILED = Verdict(correct=True), Verdict(correct=False), Verdict(correct=None)


def group(*completions: Completion) -> Group:
    return Group(prompt=PROMPT, completions=completions)


def completion(name: str, *segments) -> Completion:
    return leaf_completion(leaf(*segments), Sampling(id=name, limit=99), decode=lambda ids: "")


def tree_of(grown: Grown) -> Group:
    return group(*(completion(f"leaf{n}", *one.segments) for n, one in enumerate(grown.leaves)))


SHARED = segment("s0", [1, 2, 3, 4])
PAIR = group(
    completion("x", SHARED, segment("s1", [5, 6])), completion("y", SHARED, segment("s2", [7]))
)
ALONE = group(completion("x", segment("s3", [1])), completion("y", segment("s4", [1])))


def test_shared_segment_counts_once() -> None:
    assert sampled_tokens(PAIR) == 4 + 2 + 1
    assert sampled_tokens(ALONE) == 2


def test_saving_is_what_sharing_spares() -> None:
    # 6 + 5 + 1 + 1 tokens in four leaves, four of them sampled once instead of twice
    assert sampled_tokens_per_leaf([PAIR, ALONE]) == 9 / 4
    assert saved_share([PAIR, ALONE]) == pytest.approx(4 / 13)
    assert saved_share([ALONE]) == 0


def test_full_binary_tree_saves_half_of_its_first_level() -> None:
    tree = tree_of(grow(begun(4, limit=8), Random(0), lambda start: False))
    assert sampled_tokens(tree) == 4 * (2 + 4) and saved_share([tree]) == 1 - 24 / 32


@given(st.integers(1, 12), st.integers(1, 30), st.randoms(use_true_random=False))
def test_sampled_tokens_are_those_of_all_segments_ever_started(width, limit, random) -> None:
    grown = grow(begun(width, limit=limit), random, lambda start: random.random() < 0.4)
    tree = tree_of(grown)
    spent = sum(len(part.completion.token_ids) for part in grown.segments.values())
    assert sampled_tokens(tree) == spent <= sum(tree.lengths)


def test_mass_is_split_evenly_where_paths_part() -> None:
    # two ways from the prompt; one of them parts again
    tree = group(
        completion("x", SHARED, segment("s1", [5, 6])),
        completion("y", SHARED, segment("s2", [7])),
        completion("z", segment("s3", [1])),
    )
    assert leaf_masses(tree) == [0.25, 0.25, 0.5]
    assert leaf_masses(ALONE) == [0.5, 0.5]


def test_means_by_mass_are_nearly_the_policys_where_means_over_leaves_are_too_long() -> None:
    """Half of all segments stop after their first token, the others are full, up to two each."""

    def lengths(seed: int) -> tuple[float, float]:
        random, grown = Random(seed), begun(8, limit=8, seed=seed, first_divergence=(4, 4))
        while grown.running:
            grown.end(grown.running[0], 1 if random.random() < 0.5 else None)
        tree = tree_of(grown)
        return float(np.dot(leaf_masses(tree), tree.lengths)), float(np.mean(tree.lengths))

    by_mass, over_leaves = np.mean([lengths(seed) for seed in range(800)], axis=0)
    # the policy: 1 token (half), 4 + 1 (a quarter), 4 + 4 (a quarter), on average 3.75;
    # all four first paths stop in one tree of 16, whose fallback the masses do not undo
    assert by_mass == pytest.approx(3.75, abs=0.25) and over_leaves > 4.5


def test_mixed_groups_hold_a_right_and_a_wrong_completion() -> None:
    assert mixed_share([[RIGHT, WRONG], [RIGHT, RIGHT], [WRONG, FAILED], [WRONG, RIGHT]]) == 0.5


def test_distinct_answers_are_counted_within_their_group() -> None:
    assert distinct_answers([["1", "2", "1"], ["1", "1", "1"]]) == 1.5


def test_overlap_of_two_is_their_common_runs_over_all_runs() -> None:
    # runs of two: 12 23 34 45 56 and 12 23 34 47
    assert ngram_overlap(PAIR, 2) == 3 / 6
    assert ngram_overlap(PAIR, 6) == 0


def test_equal_completions_overlap_wholly_however_short() -> None:
    assert ngram_overlap(ALONE, 1) == 1
    assert ngram_overlap(ALONE, 4) == 1
