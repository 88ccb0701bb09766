"""DLER: rewards centred within their group, then whitened over the whole update.

The std of a group whose rewards hardly differ never divides anything. The paper whitens over
completions, its released code over tokens: a long completion then weighs more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain
from math import sqrt
from statistics import fmean

from data.types import Group, Score
from rl.algorithms.dr_grpo import dr_grpo_advantages
from rl.algorithms.group import Advantages, totals
from rl.config import ClippedConfig, SamplingFilter

EPSILON = 1e-8


@dataclass(kw_only=True)
class DlerConfig(ClippedConfig):
    """Doing length penalty right (arXiv:2510.15110): groups kept and whitened by their rewards."""

    dynamic_sampling: bool = True
    dynamic_sampling_by: SamplingFilter = SamplingFilter.reward


@dataclass(kw_only=True)
class DlerCodeConfig(ClippedConfig):
    """DLER as its code was released: whitened over tokens, filtered by raw correctness."""

    dynamic_sampling: bool = True


def whitened_over_sequences(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
    """A_i = (a_i - mean a) / sqrt(var a + 1e-8) with a_i = R_i - mean of its group.

    DLER (arXiv:2510.15110, section 3): every completion counts once, var of the population.
    Rewards [P][G]; a group of one keeps its reward as a_i.
    """
    deviations = [centred(group) for group in rewards]
    values = list(chain.from_iterable(deviations))
    mean = fmean(values)
    return _whitened(deviations, mean, fmean((value - mean) ** 2 for value in values))


def whitened_over_tokens(
    rewards: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]
) -> list[list[float]]:
    """A_i = (a_i - mean a) / sqrt(var a + 1e-8), each a_i counted once for each of its n_i tokens.

    REINFORCE++-baseline (arXiv:2501.03262) and DLER's released code: a_i = R_i - mean of its group,
    rewards and response tokens [P][G]. The mean of a over tokens is not 0 in general.
    """
    return token_whitened([centred(group) for group in rewards], lengths)


def token_whitened(
    values: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]]
) -> list[list[float]]:
    """(a_i - mean a) / sqrt(var a + 1e-8), mean and var over tokens: a_i counts n_i times.

    Values and response tokens [P][G]; var with Bessel's correction.
    """
    every = list(chain.from_iterable(values))
    tokens = list(chain.from_iterable(lengths))
    mean, total = fmean(every, tokens), sum(tokens)
    variance = fmean(((value - mean) ** 2 for value in every), tokens)
    return _whitened(values, mean, variance * total / max(total - 1, 1))


def centred(rewards: Sequence[float]) -> list[float]:
    """R_i - mean R of one group [G]; a lone reward is kept as it is."""
    return list(rewards) if len(rewards) == 1 else dr_grpo_advantages(rewards)


def dler(config: DlerConfig) -> Advantages:
    """The advantages of an update [P][G]; `config` has nothing that changes them."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return whitened_over_sequences(totals(scores))

    return advantages


def dler_code(config: DlerCodeConfig) -> Advantages:
    """The advantages of an update [P][G]; `config` has nothing that changes them."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return whitened_over_tokens(totals(scores), [group.lengths for group in groups])

    return advantages


def _whitened(values: Sequence[Sequence[float]], mean: float, variance: float) -> list[list[float]]:
    scale = sqrt(variance + EPSILON)
    return [[(value - mean) / scale for value in group] for group in values]
