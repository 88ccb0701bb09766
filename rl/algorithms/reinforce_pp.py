"""REINFORCE++: KL in the reward of each token, and advantages whitened over the whole update.

The released code whitens over tokens. Without KL the baseline variant is
`rl.algorithms.dler.whitened_over_tokens`.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.types import Group, Score
from rl.algorithms.dler import EPSILON, centred, token_whitened, whitened_over_tokens
from rl.algorithms.group import Advantages, totals
from rl.algorithms.kl_reward import Floats, Penalised, less_penalties
from rl.config import ClippedConfig


@dataclass(kw_only=True)
class ReinforcePpConfig(ClippedConfig):
    """REINFORCE++ (arXiv:2501.03262): no baseline but the mean of the update."""

    clip_high: float = 0.2
    kl_reward_coefficient: float = 0.01


@dataclass(kw_only=True)
class ReinforcePpBaselineConfig(ClippedConfig):
    """REINFORCE++ with baseline (arXiv:2501.03262): rewards centred within their group first."""

    clip_high: float = 0.2


def whitened(values: Sequence[Floats]) -> list[Floats]:
    """(a_it - mean a) / sqrt(var a + 1e-8) over all tokens of the update; B arrays [n].

    REINFORCE++ (arXiv:2501.03262); var with Bessel's correction.
    """
    every = np.concatenate(values)
    variance = ((every - every.mean()) ** 2).sum() / max(len(every) - 1, 1)
    scale = np.sqrt(variance + EPSILON)
    return [(value - every.mean()) / scale for value in values]


def reinforce_pp(config: ReinforcePpConfig) -> Advantages:
    """The advantages of an update [P][G] as they are without KL in the reward."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return token_whitened(totals(scores), [group.lengths for group in groups])

    return advantages


def reinforce_pp_baseline(config: ReinforcePpBaselineConfig) -> Advantages:
    """The advantages of an update [P][G] as they are without KL in the reward."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return whitened_over_tokens(totals(scores), [group.lengths for group in groups])

    return advantages


def reinforce_pp_penalised(config: ReinforcePpConfig) -> Penalised:
    """Rewards less penalties, whitened."""
    return lambda advantages, scores, penalties: whitened(less_penalties(totals(scores), penalties))


def reinforce_pp_baseline_penalised(config: ReinforcePpBaselineConfig) -> Penalised:
    """Rewards less their group's mean, less penalties, whitened."""
    return lambda advantages, scores, penalties: whitened(
        less_penalties([centred(group) for group in totals(scores)], penalties)
    )
