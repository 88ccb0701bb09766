"""Where a tree begins again when all its paths have ended and leaves are still missing.

Leaves that may be continued are chosen (`Candidates`), each is cut at the end of one of its
segments (`Cut`), and new paths start there. Rewards are never asked. Cuts inside a segment, which
TreePO (arXiv:2508.17445) allows and reports to hurt, do not exist here.
"""

from collections.abc import Callable, Sequence
from math import exp
from random import Random

from data.types import Finish
from rollout.trees.divergence import mean_logprob
from rollout.trees.segments import Leaf, Segments, num_tokens

Candidates = Callable[[Sequence[Leaf], Random], list[Leaf]]
"""The leaves that may be continued, the first choice first; there may be none."""
Cut = Callable[[Leaf, Random], int]
"""How many of a leaf's segments a new path keeps: 0 (from the prompt) to all but the last."""


def restarts(
    leaves: Sequence[Leaf],
    slots: int,
    *,
    copies: int,
    candidates: Candidates,
    cut: Cut,
    random: Random,
) -> list[Segments]:
    """What `slots` new paths, or fewer, continue: `copies` of each candidate while there is room.

    Without a candidate all begin at the prompt.
    """
    chosen = candidates(leaves, random)
    prefixes = [leaf.segments[: cut(leaf, random)] for leaf in chosen] or [()]
    return [prefix for prefix in prefixes for _ in range(copies)][:slots]


def ended_leaves(leaves: Sequence[Leaf], random: Random) -> list[Leaf]:
    """Those that ended with an answer or the end-of-sequence token, in random order."""
    return all_leaves([leaf for leaf in leaves if leaf.finish is Finish.STOP], random)


def all_leaves(leaves: Sequence[Leaf], random: Random) -> list[Leaf]:
    """All in random order."""
    return random.sample(leaves, len(leaves))


def longest_leaves(leaves: Sequence[Leaf], random: Random) -> list[Leaf]:
    """All, the longest first."""
    return sorted(leaves, key=lambda leaf: num_tokens(leaf.segments), reverse=True)


def at_random(leaf: Leaf, random: Random) -> int:
    """Every end of a segment is equally likely, and so is the prompt."""
    return random.randrange(len(leaf.segments))


def at_prompt(leaf: Leaf, random: Random) -> int:
    """Nothing is kept."""
    return 0


def before_unlikely(leaf: Leaf, random: Random) -> int:
    """Before segment k with a chance in proportion to exp(-mean log-prob of segment k)."""
    return _drawn([exp(-value) for value in _mean_logprobs(leaf)], random)


def before_likely(leaf: Leaf, random: Random) -> int:
    """Before segment k with a chance in proportion to exp(mean log-prob of segment k)."""
    return _drawn([exp(value) for value in _mean_logprobs(leaf)], random)


def _mean_logprobs(leaf: Leaf) -> list[float]:
    return [mean_logprob((segment,)) for segment in leaf.segments]


def _drawn(weights: Sequence[float], random: Random) -> int:
    return random.choices(range(len(weights)), weights)[0]
