"""One group for each prompt that is drawn: what every method does that does not say otherwise."""

from collections.abc import Sequence
from typing import Any

from data.types import Group, Prompt, Verdict
from rl.allocation.allocation import Allocation, GradientNorms
from rl.config import AllocationConfig


class Uniform:
    """Remembers nothing and asks nothing of the learner."""

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        return list(prompts)

    def observe(
        self,
        groups: Sequence[Group],
        verdicts: Sequence[Sequence[Verdict]],
        step: int,
        learner: GradientNorms,
    ) -> dict[str, float]:
        return {}

    def state(self) -> dict[str, Any]:
        return {}

    def load(self, state: dict[str, Any]) -> None: ...


def build_uniform(config: AllocationConfig) -> Allocation:
    return Uniform()
