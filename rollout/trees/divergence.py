"""Which paths of a tree get more of its leaves: shares of whole leaves, and the rules to deal them.

Whenever a path goes on, the leaves still to come are dealt over all running paths. TreePO
(arXiv:2508.17445) waits for a whole level of the tree first; nobody waits here, so a running path
stands with what is known of it, the segments before the one that it is sampling.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from math import exp
from statistics import fmean

from rollout.rounding import largest_remainder
from rollout.trees.segments import Path, Segments, logprobs

Deal = Callable[[Sequence[Path]], list[int]]
"""Running paths to the leaves that each is to hold: 1 or more each, in sum what they hold."""
Score = Callable[[Segments], float]
"""How likely the policy found these segments; asked of one segment or more."""


def as_held(paths: Sequence[Path]) -> list[int]:
    """Every path keeps its leaves: TreePO's even distribution, which is best in its ablation."""
    return [path.leaves for path in paths]


def to_unlikely(paths: Sequence[Path], score: Score, temperature: float) -> list[int]:
    """1 + the rest in proportion to exp(-score / temperature): unlikely paths branch more."""
    return _dealt(paths, [-value / temperature for value in _scores(paths, score)])


def to_likely(paths: Sequence[Path], score: Score, temperature: float) -> list[int]:
    """1 + the rest in proportion to exp(score / temperature): likely paths branch more."""
    return _dealt(paths, [value / temperature for value in _scores(paths, score)])


def total_logprob(segments: Segments) -> float:
    """Sum of the log-probs of the response so far; longer responses are less likely."""
    return float(logprobs(segments).sum())


def mean_logprob(segments: Segments) -> float:
    """Mean log-prob of the response so far."""
    return float(logprobs(segments).mean())


def last_mean_logprob(segments: Segments) -> float:
    """Mean log-prob of the last segment alone."""
    return mean_logprob(segments[-1:])


def even_shares(total: int, count: int) -> list[int]:
    """`total` over `count`, the earlier ones getting one more where it does not divide."""
    least, remainder = divmod(total, count)
    return [least + (index < remainder) for index in range(count)]


def largest_remainders(total: int, weights: Sequence[float]) -> list[int]:
    """`total` in proportion to `weights`, rounded down, the rest to the largest fractions."""
    return largest_remainder([total * weight / sum(weights) for weight in weights])


def _scores(paths: Sequence[Path], score: Score) -> list[float]:
    """A path that nothing is known of stands at the mean of the others."""
    known = [score(path.segments) if path.segments else None for path in paths]
    mean = fmean(value for value in known if value is not None)
    return [mean if value is None else value for value in known]


def _dealt(paths: Sequence[Path], exponents: Sequence[float]) -> list[int]:
    """Paths that continue the same segment share one weight, for they are known by it alone."""
    continued = [path.segments[-1].id if path.segments else "" for path in paths]
    highest, siblings = max(exponents), Counter(continued)
    weights = [
        exp(exponent - highest) / siblings[segment_id]
        for segment_id, exponent in zip(continued, exponents, strict=True)
    ]
    spare = sum(path.leaves for path in paths) - len(paths)
    return [1 + share for share in largest_remainders(spare, weights)]
