"""The constant limit: every prompt, every step, the same number of tokens."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data.types import Group, Prompt, Verdict
from rl.config import ConstantLimitConfig
from rl.limits.limit import Limit


@dataclass(frozen=True)
class ConstantLimit:
    """Allows `tokens` to every completion."""

    tokens: int

    def limit(self, prompt: Prompt, step: int) -> int:
        return self.tokens

    def observe(self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]) -> None:
        """A constant learns nothing."""

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """A constant has no state."""


def build_limit(config: ConstantLimitConfig) -> Limit:
    return ConstantLimit(config.cap_tokens or config.max_response_tokens)
