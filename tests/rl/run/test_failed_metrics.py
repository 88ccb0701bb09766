"""What the journal says of judging: how many completions failed in the step, and the seconds."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest

from data.types import Verdict
from rl.config import LogConfig, TrackerMode
from rl.run.config import GuardsConfig
from rl.run.folder import create_run_folder
from rl.run.guards import Watch
from rl.run.journal import FATE_METRICS, Journal
from rl.run.loop import Step
from rl.run.metrics import check_names
from rl.run.progress import RunProgress
from rl.run.tracker import start_tracker
from rollout.books import Fate
from tests.rl.builders import completion, group, score


@pytest.fixture
def journal(tmp_path: Path) -> Iterator[Journal]:
    folder = create_run_folder(str(tmp_path / "run"), "recipe")
    tracker = start_tracker(TrackerMode.off, folder, "laconic", {})
    with RunProgress(2, enabled=False) as progress:
        yield Journal(
            folder=folder,
            tracker=tracker,
            progress=progress,
            log=LogConfig(completions_per_step=2),
            watch=Watch(GuardsConfig()),
        )


def step(index: int) -> Step:
    return Step(
        index=index,
        groups=[group("a", completion(f"{index}/0", 4), completion(f"{index}/1", 8))],
        verdicts=[[Verdict(correct=True), Verdict(correct=False)]],
        scores=[[score(True), score(False)]],
        advantages=[[1.0, -1.0]],
        metrics={},
        spans=[("rollout", 0.0, 1.0)],
    )


def test_failures_and_seconds_are_those_since_the_step_before(journal: Journal) -> None:
    seconds = iter([0.5, 2.0])
    journal.judging_seconds = lambda: next(seconds)
    for index, failed in ((1, 3), (2, 4)):
        journal.step(step(index), {**dict.fromkeys(Fate, 0), Fate.GRADER_FAILED: failed})
    text = (journal.folder / "metrics.jsonl").read_text(encoding="utf-8")
    rows = [json.loads(line) for line in text.splitlines()]
    assert [row["reward/failed"] for row in rows] == [3.0, 1.0]
    assert [row["time/judge"] for row in rows] == [0.5, 1.5]
    assert not any("grader_failed" in name for name in rows[0])


def test_every_fate_has_a_listed_name() -> None:
    assert set(FATE_METRICS) == set(Fate)
    check_names(dict.fromkeys(FATE_METRICS.values(), 0.0))
