"""What a run remembers about each prompt, bounded, keyed by prompt id.

One memory serves every method that learns per prompt (shortest correct length, pass rate, allowed
length): each keeps its numbers under names of its own in the prompt's record.
"""

from collections import OrderedDict
from typing import Any

Record = dict[str, float | int | list[float] | list[int]]
"""Named numbers, or lists of them, about one prompt."""


class PromptMemory:
    """Records by prompt id; beyond `capacity` the least recently updated prompt is forgotten.

    Reading does not count as use, so that looking at a record never changes what a run remembers.
    """

    def __init__(self, capacity: int = 1_000_000) -> None:
        if capacity < 1:
            raise ValueError(f"capacity={capacity}: a memory holds at least one prompt")
        self._capacity = capacity
        self._records: OrderedDict[str, Record] = OrderedDict()

    def __len__(self) -> int:
        return len(self._records)

    def __contains__(self, prompt_id: str) -> bool:
        return prompt_id in self._records

    def get(self, prompt_id: str) -> Record:
        """A copy of the prompt's record; empty when it has none."""
        return dict(self._records.get(prompt_id, {}))

    def update(self, prompt_id: str, record: Record) -> None:
        """Writes the named values into the prompt's record; once per consumed group."""
        self._records[prompt_id] = {**self._records.get(prompt_id, {}), **record}
        self._records.move_to_end(prompt_id)
        if len(self._records) > self._capacity:
            self._records.popitem(last=False)

    def state(self) -> dict[str, Any]:
        """Everything, least recently updated first; JSON and msgpack can hold it.

        Later updates leave it as it is.
        """
        return {"records": [[prompt_id, record] for prompt_id, record in self._records.items()]}

    def load(self, state: dict[str, Any]) -> None:
        """Replaces all records by those of `state()`; a smaller capacity keeps the newest."""
        newest = state["records"][-self._capacity :]
        self._records = OrderedDict((prompt_id, dict(record)) for prompt_id, record in newest)
