"""A limit that follows the run's steps alone: it learns nothing and has no state to save."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from data.types import Group, Prompt, Verdict


@dataclass(frozen=True)
class ScheduledLimit:
    """Allows `tokens_at(step)` to every completion of a step.

    A resumed run goes on at its step, so that the schedule needs no place in the checkpoint.
    """

    tokens_at: Callable[[int], int]

    def limit(self, prompt: Prompt, step: int) -> int:
        return self.tokens_at(step)

    def observe(
        self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]
    ) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None:
        """The step is all that there is."""
