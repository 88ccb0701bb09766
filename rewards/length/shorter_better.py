"""ShorterBetter: the group's own shortest correct answer is the length to hit."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from statistics import fmean

from rewards.compose import with_length
from rewards.config import RewardConfig
from rewards.protocols import Reward


@dataclass(kw_only=True)
class ShorterBetterConfig(RewardConfig):
    """`reward: shorter_better`. A wrong answer of optimal length can outrank a right one that is
    more than alpha / beta tokens longer: the method does not promise their order."""

    alpha: float = 2.0
    """Worth of a correct answer."""
    beta: float = 0.001
    """Reward that each token away from the sample optimal length costs."""

    def given_up(self) -> dict[str, str]:
        return {
            "order": "a wrong answer of optimal length may outrank a right one that is far off it",
            "bounded": "every token away from the optimal length costs the same",
        }

    def problems(self) -> list[str]:
        found = super().problems()
        if self.alpha <= 0:
            found.append(f"reward.alpha={self.alpha}: set reward.alpha>0")
        if self.beta <= 0:
            found.append(f"reward.beta={self.beta}: set reward.beta>0, or reward=correct for none")
        return found


def sample_optimal_length(lengths: Sequence[int], correct: Sequence[bool]) -> float:
    """SOL(q) = the shortest correct answer's length, the mean of all lengths if none is correct.

    ShorterBetter (arXiv:2504.21370); the mean is what the released code falls back to. Lengths are
    response tokens of one group [G].
    """
    right = [n for n, ok in zip(lengths, correct, strict=True) if ok]
    return min(right) if right else fmean(lengths)


def shorter_better_length_terms(
    lengths: Sequence[int], correct: Sequence[bool], beta: float
) -> list[float]:
    """-beta * |n_i - SOL(q)|, for correct and wrong answers alike [G].

    ShorterBetter (arXiv:2504.21370), `r = alpha c - beta |n - SOL|` less the worth of the answer.
    """
    optimal = sample_optimal_length(lengths, correct)
    return [-beta * abs(n - optimal) for n in lengths]


def build_reward(config: ShorterBetterConfig) -> Reward:
    term = partial(shorter_better_length_terms, beta=config.beta)
    return with_length(term, worth=config.alpha)
