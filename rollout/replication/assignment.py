"""Which replica samples which request: pure decisions, without I/O and without a clock.

Requests of one prompt stay together: they share its cached prefix and its drafts. Groups that
start together are placed longest first, each on the replica that has least to do.
"""

from collections import Counter
from collections.abc import Collection, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """A request to place: its id, its prompt's, and the tokens that it is predicted to take."""

    request: str
    prompt: str
    tokens: int


class Assignment:
    """Places requests on replicas, which are known by their number, and remembers where they run.

    Longest processing time first (Graham 1969, "Bounds on multiprocessing timing anomalies"): with
    all groups known at once, the busiest of m replicas gets at most 4/3 - 1/(3m) of its load in the
    best assignment there is. A step of synchronous RL ends with its busiest replica.
    """

    def __init__(self, num_replicas: int) -> None:
        self._loads = [0] * num_replicas
        self._running: dict[str, tuple[Task, int]] = {}
        self._members: Counter[str] = Counter()
        self._pins: dict[str, int] = {}

    @property
    def loads(self) -> list[int]:
        """Predicted tokens of the requests that run, by replica."""
        return list(self._loads)

    def place(self, tasks: Sequence[Task], replicas: Collection[int]) -> list[int]:
        """A replica of `replicas`, which must not be empty, for each of the tasks, in their order.

        A prompt with running requests keeps its replica as long as that is one of `replicas`.
        """
        groups: dict[str, list[Task]] = {}
        for task in tasks:
            groups.setdefault(task.prompt, []).append(task)
        for prompt in sorted(groups, key=lambda prompt: -_total(groups[prompt])):
            pinned = self._pins.get(prompt)
            if pinned is None or pinned not in replicas:
                pinned = self._least_loaded(replicas)
            for task in groups[prompt]:
                self._start(task, pinned)
        return [self._running[task.request][1] for task in tasks]

    def place_of(self, request: str) -> int | None:
        """The replica on which the request runs; None when it does not run."""
        return self._running[request][1] if request in self._running else None

    def ended(self, request: str) -> None:
        """The request was answered, cancelled or lost; one that does not run changes nothing."""
        if request not in self._running:
            return
        task, replica = self._running.pop(request)
        self._loads[replica] -= task.tokens
        self._members[task.prompt] -= 1
        if not self._members[task.prompt]:
            del self._members[task.prompt], self._pins[task.prompt]

    def _least_loaded(self, replicas: Collection[int]) -> int:
        return min(replicas, key=lambda replica: (self._loads[replica], replica))

    def _start(self, task: Task, replica: int) -> None:
        assert task.request not in self._running, "a request's id is used once"
        self._running[task.request] = task, replica
        self._loads[replica] += task.tokens
        self._members[task.prompt] += 1
        self._pins[task.prompt] = replica


def _total(tasks: Sequence[Task]) -> int:
    return sum(task.tokens for task in tasks)
