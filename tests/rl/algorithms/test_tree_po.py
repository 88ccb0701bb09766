from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Group
from rl.algorithms.dler import token_whitened
from rl.algorithms.dr_grpo import dr_grpo_advantages
from rl.algorithms.tree_po import (
    SizeWeightedTreePoConfig,
    TreePoConfig,
    size_weighted_tree_advantages,
    subgroups,
    tree_advantages,
    tree_po,
    tree_po_by_size,
    without_ties,
)
from rollout.engine import Sampling
from rollout.trees.segments import leaf_completion
from tests.rewards.groups import prompt
from tests.rl.algorithms.scored import in_parts, scored
from tests.rollout.tree_builders import leaf, segment

PATHS = [["a", "a1"], ["a", "a2"], ["b", "b1"], ["b", "b2"]]
REWARDS = [1.0, 0.0, 0.0, 0.0]
ALL = [0, 1, 2, 3]
FOUND = subgroups(PATHS)


@st.composite
def trees(draw: st.DrawFn) -> tuple[list[list[str]], list[float]]:
    """Paths of two or more leaves through up to three levels of two segments, and rewards."""
    chains = draw(st.lists(st.lists(st.booleans(), max_size=3), min_size=2, max_size=10))
    paths = [
        [*("".join("01"[turn] for turn in chain[: n + 1]) for n in range(len(chain))), f"leaf{i}"]
        for i, chain in enumerate(chains)
    ]
    rewards = draw(st.lists(st.floats(-4, 4), min_size=len(paths), max_size=len(paths)))
    return paths, rewards


def tree_group(lengths: list[int]) -> Group:
    """The leaves of `PATHS`: one token under a or b, then as many as `lengths` says."""
    completions = []
    for (shared, own), length in zip(PATHS, lengths, strict=True):
        chain = segment(shared, [7]), segment(f"end of {own}", [8] * length)
        sampling = Sampling(id=own, limit=99)
        completions.append(leaf_completion(leaf(*chain), sampling, decode=lambda ids: ""))
    return Group(prompt=prompt("p"), completions=tuple(completions))


def test_subgroups_are_all_leaves_and_those_that_share_a_segment() -> None:
    assert FOUND == [[ALL, [0, 1]], [ALL, [0, 1]], [ALL, [2, 3]], [ALL, [2, 3]]]


def test_leaf_that_shares_nothing_has_one_subgroup() -> None:
    assert subgroups([["x"], ["s", "y"], ["s", "z"]]) == [[[0, 1, 2]], *[[[0, 1, 2], [1, 2]]] * 2]


def test_average_over_levels() -> None:
    # the right one: 1 - 1/4 among all, 1 - 1/2 under a
    assert tree_advantages(REWARDS, FOUND) == pytest.approx([0.625, -0.375, -0.125, -0.125])


def test_levels_weighted_by_their_size() -> None:
    # the right one: (4 * 3/4 + 2 * 1/2) / 6
    expected = [4 / 6, -2 / 6, -1 / 6, -1 / 6]
    assert size_weighted_tree_advantages(REWARDS, FOUND) == pytest.approx(expected)


def test_rejection_leaves_tied_subgroups_out() -> None:
    kept = without_ties(FOUND, REWARDS)
    assert kept == [[ALL, [0, 1]], [ALL, [0, 1]], [ALL], [ALL]]
    assert tree_advantages(REWARDS, kept) == pytest.approx([0.625, -0.375, -0.25, -0.25])


def test_rejection_keeps_the_whole_group_even_when_it_ties() -> None:
    assert without_ties(FOUND, [1.0] * 4) == [[ALL]] * 4
    assert tree_advantages([0.1] * 4, FOUND) == [0.0] * 4


def test_whitening_of_the_average_with_one_token_per_leaf() -> None:
    # over its unbiased std: sqrt(0.5625 / 3) = 0.433
    (whitened,) = token_whitened([tree_advantages(REWARDS, FOUND)], [[1, 1, 1, 1]])
    assert whitened == pytest.approx([1.4434, -0.8660, -0.2887, -0.2887], abs=1e-4)


def whitened(build: Any, config: TreePoConfig, lengths: list[int]) -> list[float]:
    """The advantages of the leaves of `PATHS`, alone in their update."""
    scores = in_parts([[{"correct": reward} for reward in REWARDS]])
    (advantages,) = build(config)([tree_group(lengths)], scores)
    return list(advantages)


def test_advantages_of_a_group_come_from_the_spans_of_its_leaves() -> None:
    # two tokens a leaf: std over eight tokens is sqrt(2 * 0.5625 / 7) = 0.4009
    expected = [advantage / 0.4009 for advantage in (0.625, -0.375, -0.125, -0.125)]
    assert whitened(tree_po, TreePoConfig(), [1] * 4) == pytest.approx(expected, rel=1e-3)


def test_rejecting_ties_leaves_the_others_with_all_leaves_alone() -> None:
    # [0.625, -0.375, -0.25, -0.25], mean -1/16: std over eight tokens is sqrt(2 * 0.640625 / 7)
    expected = [(value + 1 / 16) / 0.42783 for value in (0.625, -0.375, -0.25, -0.25)]
    config = TreePoConfig(reject_ties=True)
    assert whitened(tree_po, config, [1] * 4) == pytest.approx(expected, rel=1e-3)


def test_subgroups_weighed_by_size_keep_their_ratios() -> None:
    # [2/3, -1/3, -1/6, -1/6]: their mean is 0, so that whitening only scales them
    found = whitened(tree_po_by_size, SizeWeightedTreePoConfig(), [1] * 4)
    assert [advantage / found[0] for advantage in found] == pytest.approx([1, -0.5, -0.25, -0.25])


def test_long_leaves_weigh_more_in_the_mean() -> None:
    # [0.625, -0.375, -0.125, -0.125] over 4, 2, 2 and 2 tokens: mean 0.125
    found = whitened(tree_po, TreePoConfig(), [3, 1, 1, 1])
    assert found[0] / found[1] == pytest.approx(0.5 / -0.5)
    assert found[2] / found[1] == pytest.approx(-0.25 / -0.5)


def test_without_shared_segments_rewards_are_centred_and_whitened_alone() -> None:
    groups, scores = scored([[1.0, 0.0]])
    # +-0.5: the std of two values with Bessel's correction is 0.7071
    assert tree_po(TreePoConfig())(groups, scores)[0] == pytest.approx([0.7071, -0.7071], rel=1e-4)


@given(trees(), st.floats(-5, 5))
def test_shifting_all_rewards_changes_no_advantage(made, shift: float) -> None:
    paths, rewards = made
    shifted = [reward + shift for reward in rewards]
    for formula in (tree_advantages, size_weighted_tree_advantages):
        found = subgroups(paths)
        assert formula(shifted, found) == pytest.approx(formula(rewards, found), abs=1e-9)


@given(trees(), st.randoms(use_true_random=False))
def test_permuting_leaves_permutes_advantages(made, random) -> None:
    paths, rewards = made
    order = random.sample(range(len(paths)), len(paths))
    moved = tree_advantages([rewards[i] for i in order], subgroups([paths[i] for i in order]))
    still = tree_advantages(rewards, subgroups(paths))
    assert moved == pytest.approx([still[i] for i in order])


@given(trees())
def test_average_is_that_of_the_slow_definition(made) -> None:
    paths, rewards = made
    for number, advantage in enumerate(tree_advantages(rewards, subgroups(paths))):
        deviations = []
        for level in range(max(map(len, paths)) + 1):
            same = [k for k, path in enumerate(paths) if path[:level] == paths[number][:level]]
            if level == 0 or (len(same) >= 2 and len(paths[number]) >= level):
                deviations.append(rewards[number] - sum(rewards[k] for k in same) / len(same))
        assert advantage == pytest.approx(sum(deviations) / len(deviations), abs=1e-9)


@given(st.lists(st.floats(-4, 4), min_size=2, max_size=8))
def test_independent_completions_are_compared_with_their_group_alone(rewards: list[float]) -> None:
    found = subgroups([[f"leaf{n}"] for n in range(len(rewards))])
    for formula in (tree_advantages, size_weighted_tree_advantages):
        assert formula(rewards, found) == pytest.approx(dr_grpo_advantages(rewards), abs=1e-12)
