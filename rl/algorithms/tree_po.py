"""TreePO: a leaf is compared with all leaves of its prompt and with those that share its segments.

Flow: segments of a group's leaves -> subgroups of each leaf -> its advantage -> whitened over all
tokens of the update. An advantage belongs to the whole leaf, not to a segment.
"""

from collections import defaultdict
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import fmean

from data.types import Group, Score
from rl.algorithms.dler import token_whitened
from rl.algorithms.group import Advantages, totals
from rl.config import ClippedConfig
from rollout.trees.segments import segment_ids

Subgroup = list[int]
"""Indices of the leaves of one group that share a segment, and with it all before."""
OfGroup = Callable[[Sequence[float], Sequence[Sequence[Subgroup]]], list[float]]
"""Rewards of one group [G] and the subgroups of each leaf [G] to one advantage per leaf [G]."""


@dataclass(kw_only=True)
class TreePoConfig(ClippedConfig):
    """`algorithm: tree_po`: every subgroup of a leaf weighs alike, as in the released script."""

    group_size: int = 16
    reject_ties: bool = False
    """Leave out subgroups whose rewards tie, which draw the mean to 0 (off in the script)."""


@dataclass(kw_only=True)
class SizeWeightedTreePoConfig(TreePoConfig):
    """`algorithm: tree_po_by_size`: a subgroup weighs by its leaves, the code's own default."""


def subgroups(paths: Sequence[Sequence[str]]) -> list[list[Subgroup]]:
    """S_0 = all leaves, S_j = those that share the leaf's first j segments, if they are 2 or more.

    `paths` are the ids of each leaf's segments [G][depth] (`rollout.trees.segments.segment_ids`);
    the subgroups of each leaf come out [G][1 or more].
    """
    members: dict[str, Subgroup] = defaultdict(list)
    for leaf, path in enumerate(paths):
        for segment in path:
            members[segment].append(leaf)
    every = list(range(len(paths)))
    return [
        [every, *(members[segment] for segment in path if len(members[segment]) >= 2)]
        for path in paths
    ]


def without_ties(
    found: Sequence[Sequence[Subgroup]], rewards: Sequence[float]
) -> list[list[Subgroup]]:
    """Subgroup rejection: those below S_0 whose rewards tie are left out.

    TreePO (arXiv:2508.17445); off in its released script.
    """
    return [
        [every, *(subgroup for subgroup in below if not _ties(rewards, subgroup))]
        for every, *below in found
    ]


def tree_advantages(rewards: Sequence[float], found: Sequence[Sequence[Subgroup]]) -> list[float]:
    """A_i = mean over j of a_ij, with a_ij = R_i - mean of R over S_j(i).

    TreePO (arXiv:2508.17445), "average" in its released script. Rewards of one group [G], G >= 2,
    and the subgroups of each leaf [G].
    """
    return [
        fmean(_deviation(rewards, subgroup, leaf) for subgroup in own)
        for leaf, own in enumerate(found)
    ]


def size_weighted_tree_advantages(
    rewards: Sequence[float], found: Sequence[Sequence[Subgroup]]
) -> list[float]:
    """A_i = sum_j |S_j| a_ij / sum_j |S_j|, with a_ij = R_i - mean of R over S_j(i).

    TreePO (arXiv:2508.17445), "group_size" in its released code. Rewards of one group [G], G >= 2,
    and the subgroups of each leaf [G].
    """
    return [
        fmean(
            (_deviation(rewards, subgroup, leaf) for subgroup in own),
            [len(subgroup) for subgroup in own],
        )
        for leaf, own in enumerate(found)
    ]


def tree_po(config: TreePoConfig) -> Advantages:
    """The advantages of an update [P][G] under `config`."""
    return _whitened(config, tree_advantages)


def tree_po_by_size(config: SizeWeightedTreePoConfig) -> Advantages:
    """The advantages of an update [P][G] under `config`."""
    return _whitened(config, size_weighted_tree_advantages)


def _whitened(config: TreePoConfig, of_group: OfGroup) -> Advantages:
    """`of_group` of every group, whitened over the tokens of the update: long leaves weigh more."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        found = []
        for group, rewards in zip(groups, totals(scores), strict=True):
            shared = subgroups(segment_ids(group.completions))
            kept = without_ties(shared, rewards) if config.reject_ties else shared
            found.append(of_group(rewards, kept))
        return token_whitened(found, [group.lengths for group in groups])

    return advantages


def _deviation(rewards: Sequence[float], subgroup: Subgroup, leaf: int) -> float:
    """Exactly 0 in a tie, where the mean may be off by a rounding."""
    if _ties(rewards, subgroup):
        return 0.0
    return rewards[leaf] - fmean(rewards[member] for member in subgroup)


def _ties(rewards: Sequence[float], subgroup: Subgroup) -> bool:
    return len({rewards[member] for member in subgroup}) == 1
