"""The sigmoid length term: among correct answers, the shorter than average lose less."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from math import exp, sqrt

from rewards.compose import with_length
from rewards.config import RewardConfig
from rewards.protocols import Reward

STD_EPSILON = 1e-7


@dataclass(kw_only=True)
class SigmoidConfig(RewardConfig):
    """`reward: sigmoid`, the length term of Arora and Zanette and of GRPO-lambda."""

    alpha: float = 0.2
    """Largest reward that a correct answer can lose by its length."""

    def problems(self) -> list[str]:
        found = super().problems()
        if 0 < self.alpha < 1:
            return found
        return [
            *found,
            f"reward.alpha={self.alpha}: set 0 < reward.alpha < 1, so that a correct answer is "
            "always worth more than a wrong one",
        ]


def sigmoid_length_terms(
    lengths: Sequence[int], correct: Sequence[bool], alpha: float
) -> list[float]:
    """-alpha * sigmoid((n_i - mean_cor) / (std_cor + 1e-7)) for correct answers, 0 for wrong ones.

    Arora and Zanette (arXiv:2502.04463), `r = c (1 - alpha sigmoid(z))` less the correctness c;
    the efficiency reward of GRPO-lambda (arXiv:2505.18086). Mean and population std are over the
    correct answers of the group. Lengths are response tokens [G]. One correct answer, or equal
    lengths, gives z = 0 and -alpha / 2.
    """
    answers = list(zip(lengths, correct, strict=True))
    right = [n for n, ok in answers if ok]
    if not right:
        return [0.0] * len(answers)
    mean = sum(right) / len(right)
    std = sqrt(sum((n - mean) ** 2 for n in right) / len(right))
    return [-alpha * _sigmoid((n - mean) / (std + STD_EPSILON)) if ok else 0.0 for n, ok in answers]


def build_reward(config: SigmoidConfig) -> Reward:
    return with_length(partial(sigmoid_length_terms, alpha=config.alpha))


def _sigmoid(z: float) -> float:
    """A z-score within a group of G is at most sqrt(G - 1) in size: nothing overflows."""
    return 1 / (1 + exp(-z))
