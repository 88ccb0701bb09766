"""What to do about an engine that is lost: pure decisions, without I/O and without a clock.

`Recovery` takes events (lost, started, published) and says what is needed next; `HangClock` says
when silence is a hang, `Requests` whether there is anything to be silent about. Times are seconds
on any clock that only moves forward.
"""

from collections import deque
from collections.abc import Hashable
from dataclasses import dataclass
from enum import StrEnum


class Need(StrEnum):
    """What stands between a request and its completion."""

    NOTHING = "nothing"
    """The engine serves."""
    ENGINE = "engine"
    """The last engine is lost: another one has to be started."""
    WEIGHTS = "weights"
    """A started engine holds the checkpoint's weights: the current ones have to be published."""
    END = "end"
    """The budget is spent: requests fail, and the run ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Patience:
    """When an engine counts as hung, and how many losses a run puts up with."""

    hang_seconds: float
    max_restarts: int
    window_seconds: float


class Recovery:
    """Counts the losses of an engine's incarnations, each known by its number, from 0 on."""

    def __init__(self, patience: Patience) -> None:
        self._patience = patience
        self._recent: deque[float] = deque()
        self.need = Need.NOTHING
        self.incarnation = 0
        self.losses: list[str] = []
        """What happened each time, in order."""

    def lost(self, incarnation: int, now: float, what: str) -> bool:
        """An engine died, hung or did not start; True when that was not known yet.

        Every request in flight reports the same loss, some of them late.
        """
        known = incarnation != self.incarnation or self.need in (Need.ENGINE, Need.END)
        if known:
            return False
        self._count(now, what)
        return True

    def not_started(self, now: float, what: str) -> None:
        """The attempt to start another engine failed, which counts as one more loss."""
        assert self.need is Need.ENGINE
        self._count(now, what)

    def started(self) -> None:
        """Another engine is there, with the weights of the checkpoint on disk."""
        assert self.need is Need.ENGINE
        self.incarnation += 1
        self.need = Need.WEIGHTS

    def published(self, incarnation: int) -> bool:
        """`incarnation` has the current weights; True when requests waited for them."""
        waited = incarnation == self.incarnation and self.need is Need.WEIGHTS
        if waited:
            self.need = Need.NOTHING
        return waited

    def _count(self, now: float, what: str) -> None:
        self.losses.append(what)
        self._recent.append(now)
        while self._recent[0] < now - self._patience.window_seconds:
            self._recent.popleft()
        spent = len(self._recent) > self._patience.max_restarts
        self.need = Need.END if spent else Need.ENGINE


class HangClock:
    """Adds up the seconds in which an engine had work and showed no progress.

    Only watched time counts: after a gap longer than `longest_gap` (the machine slept, or this
    process was stopped) the engine could not have been heard, so the gap counts as `longest_gap`.
    """

    def __init__(self, longest_gap: float) -> None:
        self._longest_gap = longest_gap
        self._before: float | None = None
        self._mark: Hashable = None
        self.quiet_seconds = 0.0

    def tick(self, now: float, mark: Hashable, *, at_work: bool) -> None:
        """`mark` differs from that of the tick before whenever there was progress."""
        gap = 0.0 if self._before is None else min(now - self._before, self._longest_gap)
        quiet = at_work and mark == self._mark
        self.quiet_seconds = self.quiet_seconds + gap if quiet else 0.0
        self._before, self._mark = now, mark


@dataclass(slots=True)
class Requests:
    """Counts requests: `with` it while one is with the engine."""

    running: int = 0
    answered: int = 0

    def __enter__(self) -> None:
        self.running += 1

    def __exit__(self, *failure: object) -> None:
        self.running -= 1
        self.answered += 1
