"""DLER: a right answer counts when it ends within the target length; nothing else is asked.

The target length is the limit of the rollout: what does not end by then is truncated.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group
from rewards.compose import with_group_term
from rewards.config import RewardConfig
from rewards.protocols import Reward


@dataclass(kw_only=True)
class DlerConfig(RewardConfig):
    """`reward: dler`, the paper: a truncated completion is worth nothing."""


@dataclass(kw_only=True)
class DlerCodeConfig(RewardConfig):
    """`reward: dler_code`, the released code: a truncated right answer keeps a share of its worth.

    It differs from the paper only with a verifier that finds truncated answers right.
    """

    truncated_factor: float = 0.1
    """What a truncated right answer is worth (the code's `stop_properly_penalty.penalty_coef`)."""

    def problems(self) -> list[str]:
        found = super().problems()
        if 0 <= self.truncated_factor <= 1:
            return found
        return [*found, f"reward.truncated_factor={self.truncated_factor}: set 0 to 1"]


def dler_length_terms(correct: Sequence[bool], truncated: Sequence[bool]) -> list[float]:
    """-c_i for a truncated completion, else 0: the reward R' is c_i within the target length, or 0.

    DLER (arXiv:2510.15110, section 3), less the correctness c. Completions of one group [G].
    """
    return dler_code_length_terms(correct, truncated, truncated_factor=0.0)


def dler_code_length_terms(
    correct: Sequence[bool], truncated: Sequence[bool], truncated_factor: float
) -> list[float]:
    """-(1 - k) c_i for a truncated completion, else 0: its reward is k c_i.

    Released code of DLER (stop-properly scaling), less the correctness c. Completions of one group
    [G].
    """
    return [
        truncated_factor - 1 if ok and cut else 0.0
        for ok, cut in zip(correct, truncated, strict=True)
    ]


def truncations(group: Group) -> list[bool]:
    """Whether each completion hit its limit [G]."""
    return [completion.truncated for completion in group.completions]


def build_reward(config: DlerConfig) -> Reward:
    return with_group_term(lambda group, correct: dler_length_terms(correct, truncations(group)))


def build_code_reward(config: DlerCodeConfig) -> Reward:
    return with_group_term(
        lambda group, correct: dler_code_length_terms(
            correct, truncations(group), config.truncated_factor
        )
    )
