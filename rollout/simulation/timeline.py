"""What ran when, and where: the records from which the picture of a step is drawn.

Idle is where a lane has no record.
"""

from dataclasses import dataclass
from enum import StrEnum

LEARNER = "learner"
"""The lane of the learner; an engine's lane is its replica's name."""


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
