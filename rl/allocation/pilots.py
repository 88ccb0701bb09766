"""Pilots: what the last update that a prompt was part of has shown of it, while that is not old.

Allocations that learn which prompts are worth more groups share this part: a prompt without a fresh
pilot is given a single group, which is its next one.
"""

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from data.memory import PromptMemory, Record
from data.types import Group, Prompt, Verdict
from rl.allocation.allocation import GradientNorms

PASS_RATE = "pilot_pass_rate"
"""The share of right answers over all groups of the prompt."""
MEASURED = "pilot_step"

Measure = Callable[
    [Sequence[Group], Sequence[Sequence[Verdict]], int, GradientNorms], Mapping[str, Record]
]
"""From an update's groups, their verdicts, its step and the learner to records by prompt id."""
Counts = Callable[[Sequence[Record]], Sequence[int]]
"""From the records of measured prompts to the groups of each, as many in all as there are."""


class Pilots:
    """An allocation by what `measure` finds in an update and `counts` makes of it.

    Measurements of more than `refresh_steps` steps ago are old.
    """

    def __init__(self, refresh_steps: int, measure: Measure, counts: Counts) -> None:
        self._refresh_steps = refresh_steps
        self._measure = measure
        self._counts = counts
        self._memory = PromptMemory()

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        """One group for every prompt without a fresh pilot; the others share what is left."""
        measured = [prompt for prompt in prompts if self._is_fresh(prompt, step)]
        pilots = [prompt for prompt in prompts if not self._is_fresh(prompt, step)]
        if not measured:
            return pilots
        groups = self._counts([self._memory.get(prompt.id) for prompt in measured])
        return pilots + [p for p, n in zip(measured, groups, strict=True) for _ in range(n)]

    def observe(
        self,
        groups: Sequence[Group],
        verdicts: Sequence[Sequence[Verdict]],
        step: int,
        learner: GradientNorms,
    ) -> dict[str, float]:
        """Keeps what the update has shown of its prompts."""
        records = self._measure(groups, verdicts, step, learner)
        for prompt_id, record in records.items():
            self._memory.update(prompt_id, {**record, MEASURED: step})
        return {"allocation/groups_per_prompt": len(groups) / len(records)}

    def state(self) -> dict[str, Any]:
        return self._memory.state()

    def load(self, state: dict[str, Any]) -> None:
        self._memory.load(state)

    def _is_fresh(self, prompt: Prompt, step: int) -> bool:
        measured = self._memory.get(prompt.id).get(MEASURED)
        return isinstance(measured, int) and step - measured <= self._refresh_steps


def pass_rates(groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]) -> dict[str, float]:
    """The share of right answers of every prompt, over all of its groups."""
    sampled: Counter[str] = Counter()
    right: Counter[str] = Counter()
    for group, judged in zip(groups, verdicts, strict=True):
        sampled[group.prompt.id] += len(judged)
        right[group.prompt.id] += sum(bool(verdict.correct) for verdict in judged)
    return {prompt_id: right[prompt_id] / count for prompt_id, count in sampled.items()}


def pass_rate(record: Record) -> float:
    """That of a measured prompt."""
    rate = record[PASS_RATE]
    assert isinstance(rate, float)
    return rate
