"""Kimi k1.5's length reward: every answer is placed between the shortest and longest of its group.

The report trains without it first: `after_warmup` is a gate on the age of the weights that sampled,
which every completion carries, so that the warm-up needs no state and survives a resume.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

from data.types import Group
from rewards.compose import gated, with_length
from rewards.config import RewardConfig
from rewards.protocols import Reward, Verdicts


@dataclass(kw_only=True)
class KimiConfig(RewardConfig):
    """`reward: kimi`, the length reward of Kimi k1.5."""

    weight: float = 0.4
    """Factor of the length reward, which lies in [-0.5, 0.5]. The report gives none; Laser's port
    takes 0.4."""
    warmup_steps: int = 0
    """Updates of the policy before the length reward counts."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.weight < 2:
            found.append(
                f"reward.weight={self.weight}: set 0 < reward.weight < 2, so that a correct answer "
                "is always worth more than a wrong one"
            )
        if self.warmup_steps < 0:
            found.append(f"reward.warmup_steps={self.warmup_steps}: set it to 0 (none) or more")
        return found


def kimi_length_rewards(lengths: Sequence[int], correct: Sequence[bool]) -> list[float]:
    """lambda_i = 0.5 - (n_i - min n) / (max n - min n); a wrong answer gets min(0, lambda_i).

    Length reward of Kimi k1.5 (arXiv:2501.12599, section 2.3.3). The extremes are over all answers
    of the group; equal lengths carry no preference and get zeros. Lengths are response tokens [G].
    """
    answers = list(zip(lengths, correct, strict=True))
    shortest, longest = min(lengths), max(lengths)
    if shortest == longest:
        return [0.0] * len(answers)
    lambdas = [0.5 - (n - shortest) / (longest - shortest) for n in lengths]
    return [value if ok else min(0.0, value) for value, ok in zip(lambdas, correct, strict=True)]


def kimi_length_terms(
    lengths: Sequence[int], correct: Sequence[bool], weight: float
) -> list[float]:
    """weight * length reward [G]: "added to the original reward with a weighting parameter"."""
    return [weight * value for value in kimi_length_rewards(lengths, correct)]


def after_warmup(groups: Sequence[Group], verdicts: Verdicts, num_steps: int) -> list[bool]:
    """True for the groups whose every token was sampled after `num_steps` updates [P].

    Kimi k1.5 (arXiv:2501.12599, section 2.3.3): no length penalty at first, then a constant one.
    """
    oldest = [min(c.weight_versions[0] for c in group.completions) for group in groups]
    return [version >= num_steps for version in oldest]


def build_reward(config: KimiConfig) -> Reward:
    reward = with_length(partial(kimi_length_terms, weight=config.weight))
    return gated(reward, partial(after_warmup, num_steps=config.warmup_steps))
