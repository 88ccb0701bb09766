"""`timeline.jsonl`: what ran when in the latest step of a run; the next step replaces it."""

from collections.abc import Iterable, Iterator
from pathlib import Path

import msgspec

from rl.run.stopwatch import Spans
from rollout.timeline import LEARNER, Activity, Kind

FILE = "timeline.jsonl"
LEARNER_KINDS = {"learn": Kind.LEARN, "sync": Kind.PUBLISH}
"""The parts of a step in which the learner works."""


def learner_activities(spans: Spans, step: int) -> Iterator[Activity]:
    """The learner's part of a step's spans."""
    for part, start, end in spans:
        if kind := LEARNER_KINDS.get(part):
            yield Activity(kind=kind, lane=LEARNER, name=f"step {step}", start=start, end=end)


def write_timeline(folder: Path, activities: Iterable[Activity]) -> None:
    """One line per record."""
    (folder / FILE).write_bytes(msgspec.json.Encoder().encode_lines(list(activities)))


def read_timeline(folder: Path) -> list[Activity]:
    """The records of the latest step; none before the first one has ended.

    Raises ValueError when the file is not what a run writes.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    try:
        return msgspec.json.Decoder(Activity).decode_lines(path.read_bytes())
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path} is not what a run writes ({error}); remove it: it only serves the picture"
        ) from error
