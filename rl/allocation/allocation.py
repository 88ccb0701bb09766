"""The allocation seam: how many of an update's groups does each of the drawn prompts get?"""

from collections.abc import Sequence
from typing import Any, Protocol

from data.types import Group, Prompt, Verdict
from rl.learner.batch import Row


class GradientNorms(Protocol):
    """What an allocation may ask of the learner."""

    def gradient_norms(self, rows: Sequence[Row]) -> list[float]: ...


class Allocation(Protocol):
    """Spends the groups of an update on the prompts that were drawn for it."""

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        """As many prompts as it is given, some of them several times, some not at all.

        Each place is a group to sample: a prompt that stands twice has two groups.
        """
        ...

    def observe(
        self,
        groups: Sequence[Group],
        verdicts: Sequence[Sequence[Verdict]],
        step: int,
        learner: GradientNorms,
    ) -> dict[str, float]:
        """Learns from the groups of one update, before it; returns metrics.

        All ranks may be at work in it: it calls the learner as the loop does.
        """
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold; JSON-able."""
        ...

    def load(self, state: dict[str, Any]) -> None: ...
