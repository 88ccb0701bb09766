"""An engine that remembers when each request ran: for the timeline, and for how idle it was."""

import threading
from collections.abc import Callable
from dataclasses import dataclass
from time import perf_counter

from data.types import Completion, Prompt
from rollout.engine import InterruptibleEngine, Sampling
from rollout.timeline import Activity, Kind

ENGINE = "engine"
"""The lane of what a run asks of its engine, whatever the number of replicas."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stretch:
    """What ran between two moments, cut off at both; `end` follows the `start`."""

    start: float
    end: float
    activities: tuple[Activity, ...] = ()


class WatchedEngine:
    """Keeps the engine's contract: every call goes to `engine`.

    A request counts from the call to its end, so that the time in which it waits for a turn, or for
    new weights, is in it. Requests come on one event loop; `take` may be called on any thread.
    """

    def __init__(
        self, engine: InterruptibleEngine, clock: Callable[[], float] = perf_counter
    ) -> None:
        self._engine = engine
        self._clock = clock
        self._lock = threading.Lock()
        self._running: dict[str, float] = {}
        self._ended: list[Activity] = []
        self._since = clock()

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def weight_version(self) -> int:
        return self._engine.weight_version

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`."""
        with self._lock:
            self._running[sampling.id] = self._clock()
        try:
            return await self._engine.sample(prompt, sampling)
        finally:
            with self._lock:
                start = self._running.pop(sampling.id)
                self._ended.append(_sampled(sampling.id, start, self._clock()))

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`."""
        await self._engine.abort(request_id)

    async def close(self) -> None:
        """See `Engine.close`."""
        await self._engine.close()

    def take(self) -> Stretch:
        """What ran since the last call; a request that still runs goes on in the next stretch."""
        with self._lock:
            start, self._since = self._since, self._clock()
            ended, self._ended = self._ended, []
            running = [_sampled(name, begun, self._since) for name, begun in self._running.items()]
            self._running = dict.fromkeys(self._running, self._since)
            return Stretch(start=start, end=self._since, activities=(*ended, *running))


def _sampled(request_id: str, start: float, end: float) -> Activity:
    return Activity(kind=Kind.GENERATE, lane=ENGINE, name=request_id, start=start, end=end)
