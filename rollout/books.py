"""Bookkeeping: every completion that is submitted meets exactly one fate.

A completion runs, then waits (for its group, its batch), then has its fate. Nothing here samples,
waits or writes; `submitted == running + waiting + sum(fates)` holds after every call.
"""

from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from enum import StrEnum

from data.types import Completion, Finish

FAILURE_WINDOW = 1000
MOST_FAILURES = 10
"""The grader may fail on 1 percent of the last 1,000 completions."""


class Fate(StrEnum):
    """What became of a completion."""

    TRAINED = "trained"
    """Its group was handed to the loop."""
    UNIFORM = "dropped_uniform"
    """Dynamic sampling dropped its group."""
    GRADER_FAILED = "grader_failed"
    """Nobody knows whether it is right; it left its group."""
    TOO_FEW = "group_too_small"
    """The others left its group, and one completion has nothing to be compared with."""
    STALE = "stale"
    """A token of its group was sampled by weights that are too old."""
    LOST = "lost_with_engine"
    """Its engine died or hung; it was sampled again under a fresh id."""
    ABORTED = "aborted"
    """It was cancelled, or the engine gave it up."""
    UNUSED = "unused"
    """No batch took its group: there were enough, or the stream closed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FateRecord:
    """A line of history.jsonl: how a completion ended, without its text.

    `versions` (oldest, newest weight version) and `finish` are None when it never ended, `tokens`
    that were sampled for it are then unknown and count as 0.
    """

    id: str
    prompt_id: str
    step: int
    versions: tuple[int, int] | None
    finish: Finish | None
    tokens: int
    fate: Fate


@dataclass(slots=True)
class _Entry:
    prompt_id: str
    step: int
    versions: tuple[int, int] | None = None
    finish: Finish | None = None
    tokens: int = 0


class Books:
    """Counts completions by state and reports each fate once, to `report`."""

    def __init__(self, report: Callable[[FateRecord], None]) -> None:
        self._report = report
        self._running: dict[str, _Entry] = {}
        self._waiting: dict[str, _Entry] = {}
        self._fates: Counter[Fate] = Counter()
        self._recent_failures: deque[bool] = deque(maxlen=FAILURE_WINDOW)
        self.submitted = 0

    @property
    def running(self) -> int:
        """Completions that are being sampled or judged."""
        return len(self._running)

    @property
    def waiting(self) -> int:
        """Judged completions whose group or batch is not complete."""
        return len(self._waiting)

    @property
    def fates(self) -> dict[Fate, int]:
        """Completions by fate since the stream began; every fate is listed."""
        return {fate: self._fates[fate] for fate in Fate}

    def submit(self, completion_id: str, prompt_id: str, step: int) -> None:
        """A request goes out. Its id is used once: a second use raises ValueError."""
        if completion_id in self._running or completion_id in self._waiting:
            raise ValueError(f"the request id {completion_id} is in use: submit each request once")
        self._running[completion_id] = _Entry(prompt_id, step)
        self.submitted += 1

    def reissue(self, lost_id: str, fresh_id: str) -> None:
        """A request was lost with its engine and goes on as `fresh_id`.

        Ids of requests that these books do not hold (an evaluation's) change nothing.
        """
        entry = self._running.get(lost_id)
        if entry is not None:
            self.settle(lost_id, Fate.LOST)
            self.submit(fresh_id, entry.prompt_id, entry.step)

    def ended(self, completion: Completion) -> None:
        """The engine returned it; it is still to be judged."""
        entry = self._running[completion.id]
        entry.finish = completion.finish
        entry.tokens = completion.num_tokens
        if len(completion.token_ids):
            entry.versions = completion.weight_versions

    def judged(self, completion_id: str, *, grader_failed: bool) -> None:
        """A verdict came, or the grader failed, which is the completion's fate at once."""
        self._waiting[completion_id] = self._running.pop(completion_id)
        self._recent_failures.append(grader_failed)
        if grader_failed:
            self.settle(completion_id, Fate.GRADER_FAILED)

    def settle(self, completion_id: str, fate: Fate) -> None:
        """Gives a running or waiting completion its fate."""
        held = self._running if completion_id in self._running else self._waiting
        entry = held.pop(completion_id)
        self._fates[fate] += 1
        self._report(
            FateRecord(
                id=completion_id,
                prompt_id=entry.prompt_id,
                step=entry.step,
                versions=entry.versions,
                finish=entry.finish,
                tokens=entry.tokens,
                fate=fate,
            )
        )

    def settle_running(self, fate: Fate) -> None:
        """The stream ends: whatever still runs has `fate`."""
        for completion_id in list(self._running):
            self.settle(completion_id, fate)

    def settle_waiting(self, fate: Fate) -> None:
        """The stream ends: whatever still waits has `fate`."""
        for completion_id in list(self._waiting):
            self.settle(completion_id, fate)

    def grader_problem(self) -> str | None:
        """What to say when the grader fails too often, else None."""
        failures = sum(self._recent_failures) if self._fates[Fate.GRADER_FAILED] else 0
        if failures <= MOST_FAILURES:
            return None
        return (
            f"the grader failed on {failures} of the last {len(self._recent_failures)} completions "
            f"(at most {MOST_FAILURES} in {FAILURE_WINDOW} are tolerated)"
        )
