"""The cosine reward: short is best when right, long is least bad when wrong, cut off is worst."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import cos, pi

from data.types import Group
from rewards.compose import with_group_term
from rewards.config import RewardConfig
from rewards.protocols import Reward

Curve = tuple[float, float]
"""Reward of an answer of no length, and of one as long as its limit."""


@dataclass(kw_only=True)
class CosineConfig(RewardConfig):
    """`reward: cosine`; the defaults are the paper's main setting."""

    correct_at_zero: float = 2.0
    """Reward of a correct answer of no length (the paper's r_0^c)."""
    correct_at_limit: float = 1.0
    """Reward of a correct answer as long as its limit (r_L^c)."""
    wrong_at_zero: float = -10.0
    """Reward of a wrong answer of no length (r_0^w): thinking longer is worth a try."""
    wrong_at_limit: float = 0.0
    """Reward of a wrong answer as long as its limit (r_L^w)."""
    exceeded: float = -10.0
    """Reward of whatever was cut off at its limit (r_e)."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not self.correct_at_zero >= self.correct_at_limit > self.wrong_at_limit:
            found.append(
                f"reward.correct_at_zero={self.correct_at_zero}, reward.correct_at_limit="
                f"{self.correct_at_limit}, reward.wrong_at_limit={self.wrong_at_limit}: set them "
                "in falling order, so that a correct answer is always worth more than a wrong one"
            )
        if max(self.wrong_at_zero, self.exceeded) > self.wrong_at_limit:
            found.append(
                f"reward.wrong_at_zero={self.wrong_at_zero}, reward.exceeded={self.exceeded}: set "
                f"both to at most reward.wrong_at_limit={self.wrong_at_limit}"
            )
        return found


def cosine(length: float, limit: float, curve: Curve) -> float:
    """r_L + (r_0 - r_L) (1 + cos(pi n / L)) / 2 for the curve (r_0, r_L) and 0 <= n <= L.

    CosFn of Demystifying Long Chain-of-Thought (arXiv:2502.03373, eq. 1); response tokens.
    """
    at_zero, at_limit = curve
    return at_limit + (at_zero - at_limit) * (1 + cos(pi * length / limit)) / 2


def cosine_reward(length: int, limit: int, truncated: bool, curve: Curve, exceeded: float) -> float:
    """CosFn(n, L), but `exceeded` for an answer that was cut off, right or wrong.

    Demystifying Long Chain-of-Thought (arXiv:2502.03373, section 4.2): `curve` is (r_0^c, r_L^c)
    for a correct answer and (r_0^w, r_L^w) for a wrong one, `exceeded` is r_e. The limit is that
    of the completion.
    """
    return exceeded if truncated else cosine(length, limit, curve)


def build_reward(config: CosineConfig) -> Reward:
    right: Curve = (config.correct_at_zero, config.correct_at_limit)
    wrong: Curve = (config.wrong_at_zero, config.wrong_at_limit)

    def term(group: Group, correct: Sequence[bool]) -> list[float]:
        """The reward less the correctness, which is a part of its own."""
        return [
            cosine_reward(
                c.num_tokens, c.limit, c.truncated, right if ok else wrong, config.exceeded
            )
            - ok
            for c, ok in zip(group.completions, correct, strict=True)
        ]

    return with_group_term(term)
