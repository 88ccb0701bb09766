"""Dr. GRPO: rewards centred within the group, neither divided by their spread nor by length."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass

from rl.algorithms.group import Advantages, per_group
from rl.config import Aggregation, ClippedConfig


@dataclass(kw_only=True)
class DrGrpoConfig(ClippedConfig):
    """GRPO done right (arXiv:2503.20783): no division by the group's std or by response length."""

    aggregation: Aggregation = Aggregation.sequence_mean_token_sum_norm


def dr_grpo_advantages(rewards: Sequence[float]) -> list[float]:
    """A_i = R_i - mean R.

    Dr. GRPO (arXiv:2503.20783, section 3.1). Rewards of one group [G], G >= 2; a tie gets zeros.
    """
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    return [reward - mean for reward in rewards]


def dr_grpo(config: DrGrpoConfig) -> Advantages:
    """The advantages of an update [P][G]; `config` has nothing that changes them."""
    return per_group(dr_grpo_advantages)
