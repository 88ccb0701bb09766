"""Preference pairs out of the judged answers of a long and a short model, problem by problem.

A builder is given the graded completions of one problem by each model, and returns its pairs, or
why there are none. Completions without a verdict (the grader failed) are left out before.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from math import inf
from random import Random

import numpy as np

from rl.evaluate.evaluation import Judged, mean_tokens

NUM_GROUP_PAIRS, NUM_INSTANCE_PAIRS = 4, 2
"""AdaR1's released script: M1 and M2."""

ALL_WRONG = "every completion is wrong"
LONG_WRONG = "no correct completion of the long model"
SHORT_WRONG = "no correct completion of the short model"
NOT_LONGER = "the long completion is not longer than the short one"
ALL_EQUAL = "nothing differs between the completions"
UNGRADED = "the grader failed on every completion of a model"


@dataclass(frozen=True, slots=True, kw_only=True)
class Pair:
    """Two completions of one prompt; `level` is `group`, `instance` (AdaR1) or `length`."""

    chosen: Judged
    rejected: Judged
    level: str


Pairing = list[Pair] | str
"""The pairs of a problem, or why it has none."""

Prefers = Callable[[Sequence[Judged], Sequence[Judged]], bool]
"""Whether AdaR1's group level prefers the long model's completions to the short one's."""

Build = Callable[[Sequence[Judged], Sequence[Judged], Random], Pairing]
"""A builder: completions of the long model, of the short one, and random numbers of the problem."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Built:
    """The pairs of many problems, and how many problems gave none, by reason."""

    pairs: tuple[Pair, ...]
    num_problems: int
    without: Mapping[str, int]

    @property
    def num_paired(self) -> int:
        """Problems that gave a pair."""
        return self.num_problems - sum(self.without.values())


def build_pairs(
    long: Sequence[Sequence[Judged]], short: Sequence[Sequence[Judged]], build: Build, seed: int
) -> Built:
    """The pairs of all problems [P][K], the same problems in the same order from both models.

    The random numbers of a problem depend on the seed and its id alone.
    """
    pairs: list[Pair] = []
    without: Counter[str] = Counter()
    for one, other in zip(long, short, strict=True):
        ids = {judged.prompt.id for judged in [*one, *other]}
        assert len(ids) == 1, "both models answer the same problems in the same order"
        found = _pairing(_graded(one), _graded(other), build, Random(f"{seed}/{ids.pop()}"))
        if isinstance(found, str):
            without[found] += 1
        else:
            pairs += found
    return Built(pairs=tuple(pairs), num_problems=len(long), without=dict(without.most_common()))


def adar1_pairs(long: Sequence[Judged], short: Sequence[Judged], random: Random) -> Pairing:
    """AdaR1's bi-level pairs (arXiv:2504.21659): the preferred model, then short within it."""
    return _bi_level(long, short, random, _more_accurate)


def adar1_code_pairs(long: Sequence[Judged], short: Sequence[Judged], random: Random) -> Pairing:
    """The released script's: by the sign of its gain, which turns round where long is not longer.

    AdaR1, `constrcut_adaptive_dataset.py`.
    """
    return _bi_level(long, short, random, _more_gainful)


def think_po_pairs(long: Sequence[Judged], short: Sequence[Judged], random: Random) -> Pairing:
    """The longest correct completion of the long model over the shortest of the short model.

    ThinkPO (arXiv:2502.13173): it lengthens.
    """
    found = _longest_and_shortest(long, short)
    if isinstance(found, str):
        return found
    return [Pair(chosen=found[0], rejected=found[1], level="length")]


def concise_pairs(long: Sequence[Judged], short: Sequence[Judged], random: Random) -> Pairing:
    """ThinkPO's pairs turned round: the shortest correct completion over the longest correct."""
    found = _longest_and_shortest(long, short)
    if isinstance(found, str):
        return found
    return [Pair(chosen=found[1], rejected=found[0], level="length")]


BUILDERS: dict[str, Build] = {
    "adar1": adar1_pairs,
    "adar1_code": adar1_code_pairs,
    "thinkpo": think_po_pairs,
    "concise": concise_pairs,
}


def prefers_long(long_accuracy: float, short_accuracy: float, num_samples: int) -> bool:
    """acc_L - acc_S > epsilon, with epsilon = 1 / (2 K): half of what one sample weighs.

    Group level of AdaR1 (arXiv:2504.21659); epsilon is the released script's.
    """
    return long_accuracy - short_accuracy > 1 / (2 * num_samples)


def adar1_code_gain(
    long_accuracy: float,
    short_accuracy: float,
    long_tokens: float,
    short_tokens: float,
    num_samples: int,
) -> float:
    """d / rho where d > 0, else d rho / 10; positive prefers the long model.

    d = acc_L - acc_S - 1 / (2 K), rho = (len_L - len_S) / len_S, lengths being means over the K
    samples in tokens. AdaR1's released script. Equal lengths at d > 0 are an infinite gain, where
    the script divides by zero.
    """
    more = long_accuracy - short_accuracy - 1 / (2 * num_samples)
    longer = (long_tokens - short_tokens) / short_tokens
    if more <= 0:
        return more * longer / 10
    return more / longer if longer else inf


def _pairing(
    long: Sequence[Judged], short: Sequence[Judged], build: Build, random: Random
) -> Pairing:
    return build(long, short, random) if long and short else UNGRADED


def _bi_level(
    long: Sequence[Judged], short: Sequence[Judged], random: Random, prefers: Prefers
) -> Pairing:
    """Correct completions of the preferred model over wrong ones of the other, up to four of all
    combinations; and its shortest correct one over its two longest correct ones.

    Where a side has no correct, or no wrong, completion, it takes part with all of them.
    """
    if not _correct(long) and not _correct(short):
        return ALL_WRONG
    preferred, other = (long, short) if prefers(long, short) else (short, long)
    chosen = _correct(preferred) or list(preferred)
    rejected = [judged for judged in other if not judged.verdict.correct] or list(other)
    between = [
        Pair(chosen=one, rejected=two, level="group")
        for one in chosen
        for two in rejected
        if not np.array_equal(one.completion.token_ids, two.completion.token_ids)
    ]
    random.shuffle(between)
    shortest, *rest = sorted(chosen, key=_tokens)
    within = [
        Pair(chosen=shortest, rejected=one, level="instance")
        for one in rest[-NUM_INSTANCE_PAIRS:]
        if _tokens(one) > _tokens(shortest)
    ]
    return between[:NUM_GROUP_PAIRS] + within or ALL_EQUAL


def _longest_and_shortest(
    long: Sequence[Judged], short: Sequence[Judged]
) -> tuple[Judged, Judged] | str:
    """The longest correct completion of one side, the shortest of the other, or what is missing."""
    right, right_short = _correct(long), _correct(short)
    if not right or not right_short:
        return (LONG_WRONG if right_short else ALL_WRONG) if not right else SHORT_WRONG
    longest, shortest = max(right, key=_tokens), min(right_short, key=_tokens)
    return (longest, shortest) if _tokens(longest) > _tokens(shortest) else NOT_LONGER


def _more_accurate(long: Sequence[Judged], short: Sequence[Judged]) -> bool:
    return prefers_long(_accuracy(long), _accuracy(short), max(len(long), len(short)))


def _more_gainful(long: Sequence[Judged], short: Sequence[Judged]) -> bool:
    gain = adar1_code_gain(
        _accuracy(long), _accuracy(short), mean_tokens(long), mean_tokens(short),
        max(len(long), len(short)),
    )  # fmt: skip
    return gain > 0


def _accuracy(side: Sequence[Judged]) -> float:
    return len(_correct(side)) / len(side)


def _correct(side: Sequence[Judged]) -> list[Judged]:
    return [judged for judged in side if judged.verdict.correct]


def _graded(side: Sequence[Judged]) -> list[Judged]:
    return [judged for judged in side if judged.verdict.correct is not None]


def _tokens(judged: Judged) -> int:
    return judged.completion.num_tokens
