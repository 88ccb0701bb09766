"""HAPO: a correct answer is paid for being shorter than what was ever correct for its prompt.

HAPO (arXiv:2505.11225). An update is scored against the history as it was before, and then folds
its own correct answers into it: an answer never competes with its own update. The history lies in
the run's memory, so that it is in the checkpoint; the released code loses it on a restart.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum
from math import cos, pi

from data.memory import PromptMemory
from data.types import Group
from rewards.compose import with_length_terms
from rewards.config import RewardConfig
from rewards.protocols import Reward

LOWEST = -0.7
"""What a correct answer can lose at most, so that it is worth more than any wrong one."""
TOLERANCE = 0.1
"""How far beyond the history, relative to it, the linear term asks nothing."""
LENGTH, COUNT = "hapo_length", "hapo_count"
"""Names in a prompt's record: h, and the number of correct answers that it was made of."""

Shape = Callable[[Sequence[int], Sequence[bool], float], list[float]]
"""From lengths [G], what is correct [G] and the history h to length terms [G]."""
Fold = Callable[[float, int, Sequence[int]], float]
"""From h, its count (0: there is no h yet) and the lengths of further correct answers to h."""


class HapoShape(Enum):
    """How the length term falls with the length."""

    cosine = "cosine"
    linear = "linear"


class HapoHistory(Enum):
    """What is remembered of the correct answers to a prompt."""

    shortest = "shortest"
    mean = "mean"


@dataclass(kw_only=True)
class HapoConfig(RewardConfig):
    """`reward: hapo`; it needs several epochs, since a prompt's first visit has no length term."""

    weight: float = 1.0
    shape: HapoShape = HapoShape.cosine
    history: HapoHistory = HapoHistory.shortest
    """A shortest length never grows again: a lucky guess stays. The mean forgives it."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.weight <= 1:
            found.append(
                f"reward.weight={self.weight}: set 0 < reward.weight <= 1, so that a correct "
                "answer is always worth more than a wrong one"
            )
        return found


def hapo_cosine(lengths: Sequence[int], correct: Sequence[bool], h: float) -> list[float]:
    """max(-0.7, f_i) for correct answers, min(0, f_i) for wrong ones; f = cos(min(pi n / 2h, pi)).

    HAPO (arXiv:2505.11225), its length reward: 1 for no tokens, 0 at h, -1 from 2h on. Lengths are
    response tokens [G].
    """
    shares = [cos(min(pi / 2 * n / h, pi)) for n in lengths]
    return [max(LOWEST, f) if ok else min(0.0, f) for f, ok in zip(shares, correct, strict=True)]


def hapo_linear(lengths: Sequence[int], correct: Sequence[bool], h: float) -> list[float]:
    """1 - n_i / h up to h, 0 up to 1.1 h, then 1.1 - n_i / h: for correct answers down to -0.7.

    Wrong answers gain nothing below h and lose down to -1. The released code of HAPO
    (github.com/HCY123902/HAPO, utils.py). Lengths are response tokens [G].
    """
    gains = [max(0.0, 1 - n / h) for n in lengths]
    losses = [min(0.0, 1 + TOLERANCE - n / h) for n in lengths]
    return [
        gain + max(LOWEST, loss) if ok else max(-1.0, loss)
        for gain, loss, ok in zip(gains, losses, correct, strict=True)
    ]


def shortest(h: float, count: int, lengths: Sequence[int]) -> float:
    """h <- min(h, min n): the shortest correct answer of the whole run."""
    return min(h, *lengths) if count else min(lengths)


def mean(h: float, count: int, lengths: Sequence[int]) -> float:
    """h <- (count h + sum n) / (count + k): the mean correct answer of the whole run."""
    return (count * h + sum(lengths)) / (count + len(lengths))


SHAPES: dict[HapoShape, Shape] = {HapoShape.cosine: hapo_cosine, HapoShape.linear: hapo_linear}
FOLDS: dict[HapoHistory, Fold] = {HapoHistory.shortest: shortest, HapoHistory.mean: mean}


def build_reward(config: HapoConfig, memory: PromptMemory) -> Reward:
    shape, fold = SHAPES[config.shape], FOLDS[config.history]

    def terms(groups: Sequence[Group], correct: Sequence[Sequence[bool]]) -> list[list[float]]:
        found = []
        for group, ok in zip(groups, correct, strict=True):
            h, count = history_of(memory, group)
            values = shape(group.lengths, ok, h) if count else [0.0] * len(ok)
            found.append([config.weight * value for value in values])
        for group, ok in zip(groups, correct, strict=True):
            remember(memory, group, ok, fold)
        return found

    return with_length_terms(terms)


def history_of(memory: PromptMemory, group: Group) -> tuple[float, int]:
    """h of the group's prompt, and of how many correct answers; 0 of them when there is no h."""
    record = memory.get(group.prompt.id)
    h, count = record.get(LENGTH, 0.0), record.get(COUNT, 0)
    assert isinstance(h, int | float), "written by `remember`"
    assert isinstance(count, int), "written by `remember`"
    return h, count


def remember(memory: PromptMemory, group: Group, correct: Sequence[bool], fold: Fold) -> None:
    """Folds the group's correct answers into its prompt's history."""
    lengths = [n for n, ok in zip(group.lengths, correct, strict=True) if ok]
    if lengths:
        h, count = history_of(memory, group)
        folded = fold(h, count, lengths)
        memory.update(group.prompt.id, {LENGTH: folded, COUNT: count + len(lengths)})
