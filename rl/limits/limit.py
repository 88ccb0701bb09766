"""The limit seam: how far may the generation of this prompt run, at this step?"""

from collections.abc import Sequence
from typing import Any, Protocol, runtime_checkable

from data.types import Group, Prompt, Verdict


class LimitError(ValueError):
    """A user's limit raised, or gave what is no limit; the run stops and says so."""


@runtime_checkable
class Limit(Protocol):
    """Sets the most tokens a completion may have.

    It is asked once, when a group is launched. The completion carries the answer, and everything
    after that (generation, truncation, grading, overlong shaping) reads `completion.limit`.
    """

    def limit(self, prompt: Prompt, step: int) -> int:
        """Tokens allowed to each completion of `prompt` that is launched at `step`.

        At most the run's `limit.max_response_tokens`, for which the engine has room.
        """
        ...

    def observe(
        self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]
    ) -> dict[str, float]:
        """Learns from the groups of one update, once per consumed group; returns metrics."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold; JSON-able."""
        ...

    def load(self, state: dict[str, Any]) -> None: ...
