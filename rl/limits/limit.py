"""The limit seam: how far may the generation of this prompt run, at this step?"""

from collections.abc import Sequence
from typing import Any, Protocol

from data.types import Group, Prompt, Verdict


class Limit(Protocol):
    """Sets the most tokens a completion may have; one place feeds generation and grading."""

    def limit(self, prompt: Prompt, step: int) -> int:
        """Tokens allowed to each completion of `prompt` that is launched at `step`."""
        ...

    def observe(self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]) -> None:
        """Learns from the groups of one update, once per consumed group."""
        ...

    def state(self) -> dict[str, Any]:
        """What a checkpoint must hold; msgpack-able."""
        ...

    def load(self, state: dict[str, Any]) -> None: ...
