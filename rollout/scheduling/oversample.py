"""Oversampled steps: more groups run than a step needs, and the rest goes on in the next one.

APRIL (arXiv:2509.18521): N' > N groups run, the step is cut when N are done, and what is unfinished
is resumed first in the next step, so that nothing is sampled in vain. A resumed group holds tokens
of several weight versions; and the groups of a step are those that were done first, which favours
short ones until the long ones come in.
"""

import math
from collections import deque
from collections.abc import Sequence
from typing import Any


class OversampledSteps:
    """Groups by id, each used once: waiting to be run -> running -> done -> taken by a step.

    A step takes `num_groups`; up to `oversampling` times as many run at once.
    """

    def __init__(self, num_groups: int, oversampling: float) -> None:
        if num_groups < 1 or oversampling < 1:
            raise ValueError(
                f"num_groups={num_groups}, oversampling={oversampling}: set both to 1 or more"
            )
        self._num_groups = num_groups
        self._num_running = math.ceil(num_groups * oversampling)
        self._running: dict[str, None] = {}
        self._carried: list[str] = []
        self._done: deque[str] = deque()

    @property
    def num_fresh(self) -> int:
        """Groups to draw for the next step: those that ended have left their places."""
        return max(0, self._num_running - len(self._carried) - len(self._done))

    @property
    def complete(self) -> bool:
        """Whether the step has its groups, so that the rest is to be cut."""
        return len(self._done) >= self._num_groups

    def begin(self, fresh: Sequence[str]) -> list[str]:
        """The groups of a step, in the order in which they run: the unfinished before `fresh`."""
        order = [*self._carried, *fresh]
        if len(set(order) | set(self._done)) < len(order) + len(self._done):
            raise ValueError(f"{', '.join(fresh)}: a group's id is used once in a run")
        self._running, self._carried = dict.fromkeys(order), []
        return order

    def ended(self, group_id: str) -> None:
        """The last completion of a running group ended by itself, before or after the cut."""
        del self._running[group_id]
        self._done.append(group_id)

    def finish(self) -> list[str]:
        """Ends the step, once the cut has settled: the groups that it takes, first ended first.

        What still runs is carried over, and so are groups that were done beyond the need.
        """
        self._carried, self._running = list(self._running), {}
        count = min(self._num_groups, len(self._done))
        return [self._done.popleft() for _ in range(count)]

    def state(self) -> dict[str, Any]:
        """Between two steps; JSON can hold it."""
        return {"carried": list(self._carried), "done": list(self._done)}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from `state()`."""
        self._carried, self._done = list(state["carried"]), deque(state["done"])
