"""Options of verifiers, rewards and gates that every recipe can set; imports nothing heavy."""

from dataclasses import dataclass, field
from enum import Enum
from typing import Any

from data.config import BudgetKind

OUR_PARTS = ("correct", "length", "format")
"""Parts of a score that are not the user's."""


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
    """Base of the `verifier` group: the processes in which answers are judged."""

    workers: int = 2
    """Processes that judge answers while others still generate; they start when one is needed.
    With two, an answer that hangs leaves one for the others."""
    timeout_seconds: float = 5.0
    """Longest time that one answer may take; beyond it the grader has failed."""
    memory_gib: float = 4.0
    """Address space of each process, so that 9^{9^{9^9}} cannot fill the machine; 0 is unbounded,
    for user code that imports torch, say."""

    def problems(self) -> list[str]:
        found = []
        if self.workers < 1:
            found.append(f"verifier.workers={self.workers}: set verifier.workers>=1")
        if self.timeout_seconds <= 0:
            found.append(
                f"verifier.timeout_seconds={self.timeout_seconds}: set a positive number of seconds"
            )
        if self.memory_gib < 0:
            found.append(f"verifier.memory_gib={self.memory_gib}: set 0 (unbounded) or more")
        return found


@dataclass(kw_only=True)
class RewardConfig:
    """Base of the `reward` group."""

    format_weight: float = 0.0
    """Worth of a well-formed answer, the part `format`: thinking closed once, then a closed box."""
    functions: dict[str, str] = field(default_factory=dict)
    """Functions of the user's own, name to dotted path: each value is a part of the score.

    They judge one completion each, in the verifier's processes and within its timeout."""

    def scored_budgets(self) -> frozenset[BudgetKind]:
        """The kinds of budget that this reward scores; where there are any, it needs one."""
        return frozenset()

    def problems(self) -> list[str]:
        found = []
        if self.format_weight < 0:
            found.append(f"reward.format_weight={self.format_weight}: set 0 (none) or more")
        for name, target in self.functions.items():
            if name in OUR_PARTS or not name.isidentifier():
                found.append(
                    f"reward.functions.{name}: set another name, of letters, digits and _, that is "
                    f"none of {', '.join(OUR_PARTS)}"
                )
            if "." not in target:
                found.append(
                    f"reward.functions.{name}={target!r}: a function is named by a dotted path; "
                    f"set reward.functions.{name}=module.name"
                )
        return found

    def given_up(self) -> dict[str, str]:
        """Properties of `laconic reward check` that the paper's formula lacks, each with why."""
        return {}

    def problems_in_run(self, group_size: int, max_response_tokens: int) -> list[str]:
        """What is wrong with these options in a run of groups and limits of this size."""
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
    timeout_seconds: float = 60.0
    """Longest time that the scores of one update may take; beyond it the run stops."""

    def problems(self) -> list[str]:
        found = super().problems()
        if "." not in self.target:
            found.append(
                f"reward.target={self.target!r}: a custom reward is a dotted path; "
                "set reward.target=module.name"
            )
        if self.timeout_seconds <= 0:
            found.append(
                f"reward.timeout_seconds={self.timeout_seconds}: set a positive number of seconds"
            )
        return found
