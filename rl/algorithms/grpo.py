"""GRPO: rewards standardised within the group of one prompt."""

import statistics
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rl.algorithms.group import Advantages, per_group
from rl.config import AlgorithmConfig, ClippedConfig


@dataclass(kw_only=True)
class StandardisedConfig(AlgorithmConfig):
    """Base of the algorithms whose advantages are GRPO's, whatever their loss."""

    std_floor: float = 0.0
    """Smallest standard deviation that a group is divided by. 0 is the paper; a floor such as 0.05
    keeps groups whose rewards differ by length noise alone from being blown up to unit scale."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.std_floor < 0:
            found.append(f"algorithm.std_floor={self.std_floor}: set it to 0 or more")
        return found


@dataclass(kw_only=True)
class GrpoConfig(StandardisedConfig, ClippedConfig):
    """Group-relative policy optimization (arXiv:2402.03300)."""


def grpo_advantages(
    rewards: Sequence[float], std_floor: float = 0.0, eps: float = 1e-6
) -> list[float]:
    """A_i = (R_i - mean R) / (max(std R, std_floor) + eps), std with Bessel's correction.

    DeepSeekMath (arXiv:2402.03300, section 4.1.2), eps as in verl. Rewards of one group [G],
    G >= 2. A group whose rewards tie carries no preference and gets zeros.
    """
    if min(rewards) == max(rewards):
        return [0.0] * len(rewards)
    mean = statistics.fmean(rewards)
    scale = max(statistics.stdev(rewards), std_floor) + eps
    return [(reward - mean) / scale for reward in rewards]


def grpo(config: StandardisedConfig) -> Advantages:
    """The advantages of an update [P][G] under `config`."""
    return per_group(partial(grpo_advantages, std_floor=config.std_floor))
