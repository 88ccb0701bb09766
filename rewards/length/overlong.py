"""DAPO's soft overlong punishment: the last stretch before the limit costs more and more."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group
from rewards.compose import with_group_term
from rewards.config import RewardConfig
from rewards.protocols import Reward


@dataclass(kw_only=True)
class OverlongConfig(RewardConfig):
    """`reward: overlong`, DAPO's soft overlong punishment."""

    worth: float = 2.0
    """Worth of a correct answer over a wrong one: DAPO's outcome reward is 1 or -1."""
    cache_share: float = 0.2
    """Last part of each completion's limit in which the punishment grows from 0 to 1: DAPO's soft
    punish cache of 4096 tokens under a limit of 20480."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.worth <= 0:
            found.append(f"reward.worth={self.worth}: set reward.worth>0")
        if not 0 < self.cache_share <= 1:
            found.append(
                f"reward.cache_share={self.cache_share}: set 0 < reward.cache_share <= 1, a part "
                "of the limit"
            )
        return found


def soft_overlong_punishment(length: int, limit: int, cache: float) -> float:
    """(L_max - L_cache - n) / L_cache, clipped to [-1, 0]: 0 until the cache, -1 from the limit on.

    DAPO (arXiv:2503.14476, eq. 13). L_max is the `limit` that the completion was launched with,
    L_cache the `cache`, all in response tokens. Right and wrong answers are punished alike.
    """
    return max(-1.0, min(0.0, (limit - cache - length) / cache))


def build_reward(config: OverlongConfig) -> Reward:
    def term(group: Group, correct: Sequence[bool]) -> list[float]:
        return [
            soft_overlong_punishment(c.num_tokens, c.limit, config.cache_share * c.limit)
            for c in group.completions
        ]

    return with_group_term(term, worth=config.worth)
