import asyncio
import json
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import pytest

from data.types import Finish
from rl.config import LogConfig
from rl.evaluate.evaluate import evaluate
from rl.run.config import GuardsConfig
from rl.run.guards import Watch
from rl.run.journal import Journal
from rl.run.loop import Step
from rl.run.metrics import TABLES
from rl.run.progress import RunProgress
from rl.run.tracker import Tracker
from rollout.books import Fate, FateRecord
from rollout.drafting.acceptance import Acceptance
from rollout.prompt_tokens import PromptTokens
from tests.rl.builders import ADVANTAGES, GROUPS, SCORES, VERDICTS, TableEngine, verify_text
from tests.rl.run_folders import BEFORE, PROMPTS


class WandbRun:
    """What the tracker calls of a `wandb.Run`, kept; `fails` raises as a lost service does."""

    def __init__(self, *, fails: bool = False) -> None:
        self.logged: list[tuple[int, dict[str, Any]]] = []
        self._fails = fails

    def log(self, values: dict[str, Any], step: int) -> None:
        if self._fails:
            raise ConnectionResetError("lost")
        self.logged.append((step, values))


def new_journal(
    folder: Path, run: WandbRun | None, drafts: Callable[[], Acceptance] = Acceptance
) -> Journal:
    return Journal(
        folder=folder,
        tracker=Tracker(run),
        progress=RunProgress(5, enabled=False),
        log=LogConfig(table_rows=3, table_every_steps=2),
        watch=Watch(GuardsConfig()),
        drafts=drafts,
    )


def step_of(index: int) -> Step:
    return Step(
        index=index,
        groups=GROUPS,
        verdicts=VERDICTS,
        scores=SCORES,
        advantages=ADVANTAGES,
        metrics={"loss": 0.5},
        spans=[("rollout", 0.0, 2.0)],
    )


def record(fate: Fate) -> FateRecord:
    return FateRecord(
        id="0/a/0", prompt_id="a", step=0, versions=(0, 0), finish=Finish.STOP, tokens=7, fate=fate
    )


def write(
    folder: Path, run: WandbRun | None, drafts: Callable[[], Acceptance] = Acceptance
) -> None:
    """One evaluation, five steps, one evaluation."""
    folder.mkdir()
    journal = new_journal(folder, run, drafts)
    evaluation = asyncio.run(
        evaluate(
            TableEngine(BEFORE), PROMPTS, verify_text, name="base", limit=16, samples_per_problem=2
        )
    )
    journal.evaluation("base", 0, evaluation, seconds=1.0)
    for index in range(1, 6):
        journal.step(step_of(index), dict.fromkeys(Fate, index))
    journal.evaluation("step 5", 5, evaluation, seconds=1.0)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in folder.rglob("*")
        if path.is_file()
    }


def test_drafts_of_an_evaluation_are_not_those_of_the_next_step(tmp_path: Path) -> None:
    """One verification more is counted at every call: by the evaluation, then by each step."""
    counts = (Acceptance(verifications=1, drafted_at=[n], accepted_at=[0]) for n in count(1))
    write(tmp_path / "run", None, lambda: next(counts))
    rows = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").open()]
    drafted = [row.get("vllm/train/draft_num_draft_tokens") for row in rows]
    assert drafted == [None, 2, 3, 4, 5, 6, None]


def test_the_share_of_cached_prompts_is_that_of_the_step(tmp_path: Path) -> None:
    journal = new_journal(tmp_path, None)
    counts = (PromptTokens(asked=8, cached=n) for n in count(2))
    journal.prompts = lambda: next(counts)
    journal.step(step_of(1), dict.fromkeys(Fate, 0))
    journal.step(step_of(2), dict.fromkeys(Fate, 0))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [row["rollout/prompt_cached_share"] for row in rows] == [2 / 8, 3 / 8]


def test_tokens_that_nothing_trained_on_are_counted_once(tmp_path: Path) -> None:
    """Two dropped completions of 7 tokens before the first step, a trained one, and a late one."""
    journal = new_journal(tmp_path, None)
    for fate in (Fate.UNIFORM, Fate.UNUSED, Fate.TRAINED):
        journal.fate(record(fate))
    journal.step(step_of(1), dict.fromkeys(Fate, 0))
    journal.fate(record(Fate.STALE))
    journal.step(step_of(2), dict.fromkeys(Fate, 0))
    journal.step(step_of(3), dict.fromkeys(Fate, 0))
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").open()]
    assert [row["stream/wasted_tokens"] for row in rows] == [14.0, 7.0, 0.0]


@pytest.fixture
def without(tmp_path: Path) -> dict[str, bytes]:
    write(tmp_path / "without", None)
    return files(tmp_path / "without")


@pytest.mark.parametrize("fails", [False, True])
def test_what_is_on_disk_is_the_same_with_and_without_the_tracker(
    tmp_path: Path, without: dict[str, bytes], fails: bool
) -> None:
    write(tmp_path / "with", WandbRun(fails=fails))
    assert files(tmp_path / "with") == without
    assert len(without["metrics.jsonl"].splitlines()) == 7


def test_tables_come_with_every_evaluation_and_every_few_steps(tmp_path: Path) -> None:
    run = WandbRun()
    write(tmp_path / "run", run)
    tables = [(step, name) for step, values in run.logged for name in values if name in TABLES]
    assert tables == [
        (0, "eval/completions"),
        (2, "completions"),
        (4, "completions"),
        (5, "eval/completions"),
    ]
    sizes = {name: len(v[name].data) for _, v in run.logged for name in v if name in TABLES}
    assert sizes == {"completions": 3, "eval/completions": 2}
    assert sorted({step for step, _ in run.logged}) == [0, 1, 2, 3, 4, 5]
