"""One engine replica in simulated time: continuous batching as a fluid.

Flow of a sequence: `submit` -> queue -> a slot -> prefill of its prompt, which holds the others up
-> one token per decode step, like all that run -> `pop_ended`. Between two moments at which one
starts or ends nothing changes, so a sequence of 32,000 tokens costs as much as one of 10.

`work` is how many tokens a sequence would have that has run since the beginning; a sequence that
starts at work w and has n tokens ends at work w + n.
"""

import heapq
from bisect import bisect_right
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from typing import Generic, TypeVar

DecodeCost = Callable[[int], float]
"""T(B): seconds of one decode step with B sequences running."""
T = TypeVar("T")

ROUNDING_TOKENS = 1e-6
"""Less than this from its end, a sequence has ended."""


def affine(base_seconds: float, seconds_per_sequence: float) -> DecodeCost:
    """T(B) = base + B * per_sequence: reading the weights once, then each sequence's cache."""
    return lambda running: base_seconds + seconds_per_sequence * running


def measured(seconds: dict[int, float]) -> DecodeCost:
    """T(B) through measured points {B: seconds}; straight lines between, level beyond the ends."""
    points = sorted(seconds.items())

    def cost(running: int) -> float:
        if running <= points[0][0]:
            return points[0][1]
        for (low, before), (high, after) in pairwise(points):
            if running <= high:
                return before + (after - before) * (running - low) / (high - low)
        return points[-1][1]

    return cost


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampled(Generic[T]):
    """A request whose length is known to the simulator. `owner` is whatever it belongs to."""

    owner: T
    num_tokens: int
    prefill_tokens: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended(Generic[T]):
    """A sequence that has all its tokens; `by_version` says how many from which weights."""

    owner: T
    start: float
    by_version: dict[int, float]


class Replica(Generic[T]):
    """Up to `max_running` sequences at once, the others in the order of their submission.

    Times are seconds and never go back.
    """

    def __init__(
        self, decode_seconds: DecodeCost, prefill_seconds_per_token: float, max_running: int
    ) -> None:
        self._step_seconds = [decode_seconds(running) for running in range(max_running + 1)]
        self._prefill_seconds_per_token = prefill_seconds_per_token
        self._max_running = max_running
        self._queue: deque[Sampled[T]] = deque()
        self._running: list[tuple[float, int, float, float, Sampled[T]]] = []
        self._num_started = 0
        self._now = 0.0
        self._work = 0.0
        self._prefill_left = 0.0
        self._pause_left = 0.0
        self._versions = [0]
        self._published_at_work = [0.0]
        self.busy_seconds = 0.0
        """Seconds in which it prefilled or decoded."""
        self.sequence_seconds = 0.0
        """Sum over these seconds of how many sequences ran."""

    @property
    def weight_version(self) -> int:
        """Of the next token."""
        return self._versions[-1]

    def submit(self, sequence: Sampled[T]) -> None:
        self._queue.append(sequence)

    def start_queued(self, now: float) -> list[Sampled[T]]:
        """Fills the free slots from the queue; returns what starts."""
        self.advance(now)
        started = []
        while self._queue and len(self._running) < self._max_running:
            sequence = self._queue.popleft()
            self._prefill_left += self._prefill_seconds_per_token * sequence.prefill_tokens
            end = self._work + sequence.num_tokens
            self._num_started += 1
            entry = (end, self._num_started, self._work, now, sequence)
            heapq.heappush(self._running, entry)
            started.append(sequence)
        return started

    def publish(self, now: float, version: int, seconds: float) -> None:
        """New weights: nothing moves for `seconds`, later tokens are of `version`."""
        self.advance(now)
        self._pause_left += seconds
        self._versions.append(version)
        self._published_at_work.append(self._work)

    def next_end(self) -> float | None:
        """When the next sequence ends if none starts before; None when none runs."""
        if not self._running:
            return None
        decode_seconds = (self._running[0][0] - self._work) * self._step_seconds[len(self._running)]
        return self._now + self._pause_left + self._prefill_left + decode_seconds

    def pop_ended(self, now: float) -> list[Ended[T]]:
        """The sequences that have ended by `now`, which is not later than `next_end`."""
        self.advance(now)
        ended = []
        while self._running and self._running[0][0] - self._work < ROUNDING_TOKENS:
            end, _, begin, start, sequence = heapq.heappop(self._running)
            by_version = self._by_version(begin, end)
            ended.append(Ended(owner=sequence.owner, start=start, by_version=by_version))
        return ended

    def advance(self, now: float) -> None:
        seconds, self._now = now - self._now, now
        paused = min(self._pause_left, seconds)
        self._pause_left -= paused
        if not self._running:
            return
        seconds -= paused
        prefilled = min(self._prefill_left, seconds)
        self._prefill_left -= prefilled
        self._work += (seconds - prefilled) / self._step_seconds[len(self._running)]
        self.busy_seconds += seconds
        self.sequence_seconds += seconds * len(self._running)

    def _by_version(self, begin: float, end: float) -> dict[int, float]:
        """Tokens between two points of work, by the weights of that time."""
        first = bisect_right(self._published_at_work, begin) - 1
        cuts = [begin, *self._published_at_work[first + 1 :], end]
        return {
            version: stop - start
            for version, (start, stop) in zip(self._versions[first:], pairwise(cuts), strict=True)
            if stop > start
        }
