"""Options of verifiers, rewards and gates that every recipe can set; imports nothing heavy."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any


class RewardShape(Enum):
    """How a user's reward is called."""

    auto = "auto"
    """As its parameters' names tell; refused when they do not."""
    laconic = "laconic"
    """`function(groups, verdicts)`."""
    trl = "trl"
    """As TRL calls it on a chat dataset: prompts and completions are lists of messages."""
    trl_text = "trl_text"
    """As TRL calls it on a dataset of plain text."""


@dataclass(kw_only=True)
class VerifierConfig:
    """How answers are judged (math_verify, in worker processes)."""

    workers: int = 1
    """Processes that judge answers while others still generate."""
    timeout_seconds: float = 5.0
    """Longest time that one answer may take; beyond it the grader has failed."""

    def problems(self) -> list[str]:
        found = []
        if self.workers < 1:
            found.append(f"verifier.workers={self.workers}: set verifier.workers>=1")
        if self.timeout_seconds <= 0:
            found.append(
                f"verifier.timeout_seconds={self.timeout_seconds}: set a positive number of seconds"
            )
        return found


@dataclass(kw_only=True)
class RewardConfig:
    """Base of the `reward` group."""

    def problems(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class GateConfig:
    """Base of the `gate` group."""

    def problems(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class CustomRewardConfig(RewardConfig):
    """A reward of the user's own: `reward: custom` with a dotted path."""

    target: str = ""
    """`module.name` of a reward, ours or TRL's, or of a factory of one when `args` are given."""
    args: dict[str, Any] = field(default_factory=dict)
    shape: RewardShape = RewardShape.auto

    def problems(self) -> list[str]:
        if "." in self.target:
            return []
        return [
            f"reward.target={self.target!r}: a custom reward is a dotted path; "
            "set reward.target=module.name"
        ]
