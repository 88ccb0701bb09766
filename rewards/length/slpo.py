"""SLPO: among several correct answers the shorter ones earn a bonus, a lone one is not taxed."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from rewards.compose import with_length
from rewards.config import RewardConfig
from rewards.protocols import Reward


@dataclass(kw_only=True)
class SlpoConfig(RewardConfig):
    """`reward: slpo`, shorter length preference optimization."""

    alpha: float = 0.5
    """Bonus of the shortest of several correct answers; no public text gives the paper's."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.alpha <= 0:
            found.append(f"reward.alpha={self.alpha}: set reward.alpha>0, or reward=correct")
        return found


def slpo_length_terms(lengths: Sequence[int], correct: Sequence[bool], alpha: float) -> list[float]:
    """alpha * (Lmax - n_i) / (Lmax - Lmin) for correct answers, 0 for wrong ones.

    SLPO of ORION (arXiv:2511.22891), less the correctness. Lmin and Lmax are the extreme lengths of
    the group's correct answers; a lone one, or equal lengths, earn no bonus. Lengths are response
    tokens [G].
    """
    answers = list(zip(lengths, correct, strict=True))
    right = [n for n, ok in answers if ok]
    if not right or min(right) == max(right):
        return [0.0] * len(answers)
    shortest, longest = min(right), max(right)
    return [alpha * (longest - n) / (longest - shortest) if ok else 0.0 for n, ok in answers]


def build_reward(config: SlpoConfig) -> Reward:
    return with_length(partial(slpo_length_terms, alpha=config.alpha))
