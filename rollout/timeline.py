"""What ran when, and where: the records from which the picture of a step is drawn.

Idle is where a lane has no record.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum

LEARNER = "learner"
"""The lane of the learner; an engine's lane is its replica's name."""
TAIL_SHARE = 1 / 8
"""Of the most records that ran at a time: where no more run, it is the tail."""


class Kind(StrEnum):
    """What a stretch of time was spent on."""

    GENERATE = "generate"
    VERIFY = "verify"
    LEARN = "learn"
    PUBLISH = "publish"


@dataclass(frozen=True, slots=True, kw_only=True)
class Activity:
    """Seconds [start, end) of one lane, on any clock; `name` is a request's id, or the step."""

    kind: Kind
    lane: str
    name: str
    start: float
    end: float


def idle_share(activities: Iterable[Activity], start: float, end: float) -> float:
    """The share of [start, end) in which none of the records of one lane runs."""
    busy, reached = 0.0, start
    for each in sorted(activities, key=lambda activity: activity.start):
        begin, stop = max(each.start, reached), min(each.end, end)
        if stop > begin:
            busy, reached = busy + stop - begin, stop
    return 1 - busy / (end - start) if end > start else 0.0


def mean_running(activities: Iterable[Activity], start: float, end: float) -> float:
    """How many of the records run at a time, mean over [start, end)."""
    overlaps = (min(each.end, end) - max(each.start, start) for each in activities)
    return sum(max(0.0, seconds) for seconds in overlaps) / (end - start) if end > start else 0.0


def seconds_by_running(
    activities: Iterable[Activity], start: float, end: float
) -> dict[int, float]:
    """Seconds of [start, end) by how many of the records run at the time."""
    changes = sorted(
        (min(max(moment, start), end), change)
        for each in activities
        for moment, change in ((each.start, 1), (each.end, -1))
    )
    found: defaultdict[int, float] = defaultdict(float)
    running, reached = 0, start
    for moment, change in [*changes, (end, 0)]:
        if moment > reached:
            found[running] += moment - reached
        reached, running = moment, running + change
    return dict(found)


def tail_seconds(by_running: Mapping[int, float]) -> float:
    """Seconds in which some run, but no more than `TAIL_SHARE` of the most that ran at a time."""
    most = max(by_running, default=0)
    return sum(
        seconds for running, seconds in by_running.items() if 0 < running <= TAIL_SHARE * most
    )
