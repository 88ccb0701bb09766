"""RLOO: each completion is compared with the mean of the others in its group."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rl.algorithms.group import Advantages, per_group
from rl.config import Aggregation, ClippedConfig


@dataclass(kw_only=True)
class RlooConfig(ClippedConfig):
    """REINFORCE with a leave-one-out baseline (arXiv:2402.14740)."""

    aggregation: Aggregation = Aggregation.sequence_mean_token_sum


def rloo_advantages(rewards: Sequence[float]) -> list[float]:
    """A_i = R_i - mean of the other R_j = (R_i - mean R) G / (G - 1).

    Back to Basics (arXiv:2402.14740, section 3.2). Rewards of one group [G], G >= 2; a tie gets
    zeros.
    """
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    scale = len(rewards) / (len(rewards) - 1)
    return [scale * (reward - mean) for reward in rewards]


def rloo(config: RlooConfig) -> Advantages:
    """The advantages of an update [P][G]; `config` has nothing that changes them."""
    return per_group(rloo_advantages)
