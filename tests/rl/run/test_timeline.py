from pathlib import Path

import pytest

from rl.run.timeline import FILE, learner_activities, read_timeline, write_timeline
from rollout.timeline import LEARNER, Activity, Kind


def test_the_learner_works_while_it_updates_and_publishes() -> None:
    spans = [("rollout", 0.0, 5.0), ("score", 5.0, 6.0), ("learn", 6.0, 8.0), ("sync", 8.0, 8.5)]
    found = [(a.kind, a.lane, a.name, a.start, a.end) for a in learner_activities(spans, 3)]
    assert found == [
        (Kind.LEARN, LEARNER, "step 3", 6.0, 8.0),
        (Kind.PUBLISH, LEARNER, "step 3", 8.0, 8.5),
    ]


def test_the_file_holds_the_latest_step_alone(tmp_path: Path) -> None:
    assert read_timeline(tmp_path) == []
    first, second = (
        Activity(kind=Kind.GENERATE, lane="engine", name=name, start=0.25, end=1.5)
        for name in ("0/a/0", "1/b/1")
    )
    for activity in (first, second):
        write_timeline(tmp_path, [activity])
    assert read_timeline(tmp_path) == [second]


def test_a_damaged_file_is_named(tmp_path: Path) -> None:
    (tmp_path / FILE).write_text('{"kind": "sleep"}')
    with pytest.raises(ValueError, match=r"timeline\.jsonl is not what a run writes"):
        read_timeline(tmp_path)
