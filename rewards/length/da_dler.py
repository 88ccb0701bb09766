"""DA-DLER: DLER with a second, shorter deadline for the questions that the model answers well.

All completions of a question run to the same limit. How many of them are right says how difficult
the question is, and the tier of that difficulty has a deadline of its own.
"""

from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass, field
from itertools import pairwise

from rewards.compose import with_group_term
from rewards.config import RewardConfig
from rewards.length.dler import truncations
from rewards.protocols import Reward


@dataclass(kw_only=True)
class DaDlerConfig(RewardConfig):
    """`reward: da_dler`: n thresholds make n + 1 tiers, each with its deadline."""

    thresholds: list[float] = field(default_factory=lambda: [0.5])
    """Shares of right answers that part the tiers, rising. A share at a threshold is below it."""
    deadlines: list[int] = field(default_factory=lambda: [4000, 2000])
    """Tokens that count in each tier, the hardest questions first."""

    def problems(self) -> list[str]:
        given = f"reward.thresholds={self.thresholds}, reward.deadlines={self.deadlines}"
        found = super().problems()
        if len(self.deadlines) != len(self.thresholds) + 1:
            return [*found, f"{given}: n thresholds part n + 1 tiers; set a deadline for each"]
        bounds = [0.0, *self.thresholds, 1.0]
        if any(low >= high for low, high in pairwise(bounds)):
            found.append(f"{given}: set reward.thresholds rising between 0 and 1")
        if min(self.deadlines) < 1 or any(a <= b for a, b in pairwise(self.deadlines)):
            found.append(f"{given}: set reward.deadlines falling, the last 1 or more")
        return found

    def problems_in_run(self, group_size: int, max_response_tokens: int) -> list[str]:
        too_late = [deadline for deadline in self.deadlines if deadline > max_response_tokens]
        if not too_late:
            return []
        return [
            f"reward.deadlines={self.deadlines} with limit.max_response_tokens="
            f"{max_response_tokens}: no completion runs so long; lower the deadlines, or set "
            f"limit.max_response_tokens>={max(too_late)}"
        ]


def tier_deadline(pass_rate: float, thresholds: Sequence[float], deadlines: Sequence[int]) -> int:
    """The deadline of the tier whose thresholds are below p(q): deadlines[#{t : t < p}].

    DA-DLER (arXiv:2510.15110, section 3.5). Thresholds [n] rise, deadlines [n + 1] fall.
    """
    return deadlines[bisect_left(thresholds, pass_rate)]


def da_dler_length_terms(
    lengths: Sequence[int],
    correct: Sequence[bool],
    truncated: Sequence[bool],
    thresholds: Sequence[float],
    deadlines: Sequence[int],
) -> list[float]:
    """-c_i for a completion that did not end within the deadline of its question's tier, else 0.

    DA-DLER (arXiv:2510.15110, section 3.5), less the correctness c. Lengths are response tokens of
    one group [G]. p(q) is the share of answers that ended and are right, at the limit that all of
    them ran to.
    """
    answers = list(zip(lengths, correct, truncated, strict=True))
    pass_rate = sum(ok and not cut for _, ok, cut in answers) / len(answers)
    deadline = tier_deadline(pass_rate, thresholds, deadlines)
    return [-1.0 if ok and (cut or n > deadline) else 0.0 for n, ok, cut in answers]


def build_reward(config: DaDlerConfig) -> Reward:
    return with_group_term(
        lambda group, correct: da_dler_length_terms(
            group.lengths, correct, truncations(group), config.thresholds, config.deadlines
        )
    )
