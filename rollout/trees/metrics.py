"""What trees save and what they cost in diversity, from groups alone, whoever sampled them."""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from itertools import chain, combinations, pairwise
from math import prod
from statistics import fmean

from data.types import Completion, Group, Verdict
from rollout.trees.segments import segment_ids, segment_lengths

Ngram = tuple[int, ...]


def sampled_tokens(group: Group) -> int:
    """Tokens that the engine sampled for a group: a segment of several leaves counts once."""
    segments: dict[str, int] = {}
    for completion in group.completions:
        segments |= segment_lengths(completion)
    return sum(segments.values())


def sampled_tokens_per_leaf(groups: Sequence[Group]) -> float:
    """Sampled tokens of all groups over their completions."""
    num_leaves = sum(len(group.completions) for group in groups)
    return sum(sampled_tokens(group) for group in groups) / num_leaves


def saved_share(groups: Sequence[Group]) -> float:
    """1 - sampled tokens / tokens of all completions: 0 for independent completions."""
    return 1 - sum(map(sampled_tokens, groups)) / sum(sum(group.lengths) for group in groups)


def leaf_masses(group: Group) -> list[float]:
    """The share of the policy's probability that each completion stands for [G]; in sum 1.

    Split evenly wherever paths part. A path that ends early hands its leaves to those that go on,
    so long responses have more leaves than the policy gives them: means over leaves, of length
    above all, are not the policy's. Means weighted by mass are, but for what a fallback added.
    """
    paths = [["", *path] for path in segment_ids(group.completions)]
    children: dict[str, set[str]] = defaultdict(set)
    for parent, child in chain.from_iterable(map(pairwise, paths)):
        children[parent].add(child)
    return [prod(1 / len(children[parent]) for parent in path[:-1]) for path in paths]


def mixed_share(verdicts: Sequence[Sequence[Verdict]]) -> float:
    """Share of the groups [P][G] in which one completion is right and one is wrong."""
    return fmean({v.correct for v in group} >= {True, False} for group in verdicts)


def distinct_answers(answers: Sequence[Sequence[str]]) -> float:
    """Different answers in a group [P][G], mean over groups."""
    return fmean(len(set(group)) for group in answers)


def ngram_overlap(group: Group, num_tokens: int) -> float:
    """|A and B| / |A or B| of the runs of `num_tokens` tokens, mean over pairs of completions.

    1 for equal completions, 0 for completions that share no run. Pairs that are both too short to
    hold a run count as equal.
    """
    runs = [set(_ngrams(completion, num_tokens)) for completion in group.completions]
    return fmean(_overlap(one, other) for one, other in combinations(runs, 2))


def _ngrams(completion: Completion, num_tokens: int) -> Iterator[Ngram]:
    tokens = completion.token_ids.tolist()
    return zip(*(tokens[offset:] for offset in range(num_tokens)), strict=False)


def _overlap(one: set[Ngram], other: set[Ngram]) -> float:
    return len(one & other) / len(one | other) if one | other else 1.0
