"""The plain reward: 1 for a correct answer, 0 for a wrong one."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group, Score
from rewards.compose import correctness, score
from rewards.config import RewardConfig
from rewards.protocols import Reward, Verdicts


@dataclass(kw_only=True)
class CorrectConfig(RewardConfig):
    """`reward: correct`, no length term."""


def correct_reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
    """c_i: the verifier's verdict and nothing else."""
    return [[score(ok) for ok in correct] for correct in correctness(verdicts)]


def build_reward(config: CorrectConfig) -> Reward:
    return correct_reward
