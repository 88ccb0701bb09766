"""What holds for a reward over a sweep of correctness and length: order, monotone, bounded, and
that no permutation matters.

Flow: `sweep` builds one update's groups; the reward is asked about it, about the same update in
another order, and about longer answers; each property is a `Finding`. A sweep shows what fails; it
proves the rest for these groups only.
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import permutations
from math import isfinite
from random import Random
from typing import NamedTuple

import numpy as np

from data.config import BudgetKind
from data.types import Budget, Completion, Finish, Group, Prompt, Score, Span, Verdict
from rewards.protocols import Reward

MakeReward = Callable[[], Reward]
"""A reward without memory of earlier updates."""

Scores = Sequence[Sequence[Score]]

SHORTEST_SHARE = 1 / 32
"""The shortest answers of the sweep have this share of the limit."""
NUM_RANDOM = 32
GROWTH = 16
"""How many times longer the answers are that a bounded reward is tried on."""
TOLERANCE = 1e-9


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """The judged groups of one update [P][G], all launched under one limit."""

    groups: Sequence[Group]
    verdicts: Sequence[Sequence[Verdict]]

    @property
    def correct(self) -> list[list[bool]]:
        return [[bool(v.correct) for v in judged] for judged in self.verdicts]


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One property: whether it holds over the sweep, and what was seen."""

    name: str
    holds: bool
    seen: str


class _Answer(NamedTuple):
    tokens: int
    correct: bool
    total: float


def sweep(group_size: int, limit: int, kinds: Sequence[BudgetKind] = ()) -> Sweep:
    """Any number of right answers, among the short, the long or both; equal lengths; random ones.

    Lengths are spread evenly on a log scale up to `limit`; a wrong answer of that length was cut
    off. With `kinds`, each prompt asks for half of the limit, or of the effort, in one of them.
    """
    numbers = range(group_size + 1)
    spread = [
        max(1, round(limit * SHORTEST_SHARE ** (1 - i / (group_size - 1))))
        for i in range(group_size)
    ]
    equal = [max(1, limit // 4)] * group_size
    shapes = [(spread, rights) for k in numbers for rights in _arrangements(k, group_size)]
    shapes += [(equal, [i < k for i in range(group_size)]) for k in numbers]
    random = Random(0)
    for _ in range(NUM_RANDOM):
        lengths = [max(1, round(limit ** random.random())) for _ in range(group_size)]
        shapes.append((lengths, [random.random() < 0.5 for _ in range(group_size)]))
    groups = [
        _group(
            f"sweep-{q}", *shape, limit, _budget(kinds[q % len(kinds)], limit) if kinds else None
        )
        for q, shape in enumerate(shapes)
    ]
    return Sweep(
        groups=groups, verdicts=[[Verdict(correct=ok) for ok in rights] for _, rights in shapes]
    )


def findings(
    make: MakeReward, group_size: int, limit: int, kinds: Sequence[BudgetKind] = ()
) -> list[Finding]:
    """The four properties of the rewards that `make` makes, for answers of up to `limit` tokens."""
    swept = sweep(group_size, limit, kinds)
    scores = make()(swept.groups, swept.verdicts)
    longer = sweep(group_size, GROWTH * limit, kinds)
    return [
        order(swept, scores),
        monotone(swept, scores),
        bounded(scores, make()(longer.groups, longer.verdicts)),
        permutation_invariant(make, swept, scores),
    ]


def order(swept: Sweep, scores: Scores) -> Finding:
    """No wrong answer is worth more than a right one of its group."""
    pairs = [(one, other) for one, other in _pairs(swept, scores) if other.correct > one.correct]
    return _none_above("order", "wrong above right", pairs)


def monotone(swept: Sweep, scores: Scores) -> Finding:
    """No right answer is worth more than a shorter right one of its group."""
    pairs = [
        (one, other)
        for one, other in _pairs(swept, scores)
        if one.correct and other.correct and one.tokens > other.tokens
    ]
    return _none_above("monotone", "longer above shorter", pairs)


def bounded(scores: Scores, longer: Scores) -> Finding:
    """The range of rewards is finite, and stays when the limit and all answers grow."""
    low, high = _range(scores)
    longer_low, longer_high = _range(longer)
    room = 0.1 * (high - low) + TOLERANCE
    holds = (
        all(map(isfinite, (low, high, longer_low, longer_high)))
        and longer_low >= low - room
        and longer_high <= high + room
    )
    seen = f"{low:.4g} to {high:.4g}; {GROWTH} times longer {longer_low:.4g} to {longer_high:.4g}"
    return Finding(name="bounded", holds=holds, seen=seen)


def permutation_invariant(make: MakeReward, swept: Sweep, scores: Scores) -> Finding:
    """Groups and their completions in another order get the same rewards."""
    random = Random(1)
    size = len(swept.groups[0].completions)
    outer, inner = random.sample(range(len(scores)), len(scores)), random.sample(range(size), size)
    groups = [
        Group(
            prompt=swept.groups[q].prompt,
            completions=tuple(swept.groups[q].completions[i] for i in inner),
        )
        for q in outer
    ]
    shuffled = make()(groups, [[swept.verdicts[q][i] for i in inner] for q in outer])
    largest = max(
        abs(row[place].total - scores[q][i].total)
        for q, row in zip(outer, shuffled, strict=True)
        for place, i in enumerate(inner)
    )
    return Finding(
        name="permutation-invariant",
        holds=largest <= TOLERANCE,
        seen=f"largest difference {largest:.4g} over {len(scores) * size} answers",
    )


def _none_above(name: str, fault: str, pairs: Sequence[tuple[_Answer, _Answer]]) -> Finding:
    faults = [(one, other) for one, other in pairs if one.total > other.total + TOLERANCE]
    seen = f"{len(faults)} of {len(pairs)} pairs {fault}"
    if faults:
        one, other = faults[0]
        seen += (
            f"; first: {one.tokens} tokens worth {one.total:.4g}, {other.tokens} tokens worth "
            f"{other.total:.4g}"
        )
    return Finding(name=name, holds=not faults, seen=seen)


def _pairs(swept: Sweep, scores: Scores) -> Iterator[tuple[_Answer, _Answer]]:
    """Every answer with every other one of its group."""
    for group, correct, row in zip(swept.groups, swept.correct, scores, strict=True):
        totals = [score.total for score in row]
        yield from permutations(map(_Answer, group.lengths, correct, totals), 2)


def _range(scores: Scores) -> tuple[float, float]:
    totals = [score.total for row in scores for score in row]
    return min(totals), max(totals)


def _arrangements(num_right: int, size: int) -> Iterator[list[bool]]:
    """Which of the answers, short ones first, are right; one way where there is one."""
    yield [i < num_right for i in range(size)]
    if 0 < num_right < size:
        yield [i >= size - num_right for i in range(size)]
        yield [(i + 1) * num_right // size > i * num_right // size for i in range(size)]


def _budget(kind: BudgetKind, limit: int) -> Budget:
    return Budget(kind=kind, amount=50 if kind is BudgetKind.EFFORT else limit // 2)


def _group(
    name: str, lengths: Sequence[int], rights: Sequence[bool], limit: int, budget: Budget | None
) -> Group:
    answers = enumerate(zip(lengths, rights, strict=True))
    return Group(
        prompt=Prompt(
            id=name, messages=(), token_ids=np.ones(1, np.int32), answer="7", budget=budget
        ),
        completions=tuple(_completion(f"{name}/{i}", n, ok, limit) for i, (n, ok) in answers),
    )


def _completion(name: str, num_tokens: int, is_right: bool, limit: int) -> Completion:
    cut_off = not is_right and num_tokens >= limit
    return Completion(
        id=name,
        text="so" if cut_off else rf"so</think>\boxed{{{7 if is_right else 8}}}",
        token_ids=np.zeros(num_tokens, np.int32),
        logprobs=np.zeros(num_tokens, np.float32),
        limit=limit,
        finish=Finish.LIMIT if cut_off else Finish.STOP,
        spans=(Span(start=0, stop=num_tokens, weight_version=0),),
    )
