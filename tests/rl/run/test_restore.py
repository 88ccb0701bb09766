"""What alarms lead to: which checkpoint is in force afterwards, and whether the run goes on."""

import json
import os
import subprocess
import sys
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest

from data.memory import PromptMemory
from data.sampler import PromptSampler
from rl.algorithms.dynamic_sampling import Oversampling
from rl.allocation.uniform import Uniform
from rl.config import ConstantLimitConfig, LogConfig, OversamplingConfig, RunConfig
from rl.limits.constant import build_limit
from rl.run.checkpoint import FORMAT
from rl.run.config import GuardAction, GuardConfig, GuardsConfig
from rl.run.guards import GuardError, Watch
from rl.run.identity import identity
from rl.run.journal import Journal
from rl.run.loop import Run
from rl.run.manifest import seal
from rl.run.progress import RunProgress
from rl.run.restore import respond, roll_back, why_not_restore
from rl.run.tracker import Tracker
from rollout.scheduling.length_history import LengthHistory
from rollout.scheduling.priorities import as_drawn
from tests.rl.builders import IdleStream, prompt

ROOT = Path(__file__).resolve().parents[3]


def checkpoints(root: Path, *steps: int) -> None:
    for step in steps:
        (root / f"step_{step}").mkdir(parents=True)
    (root / "latest").write_text(f"step_{steps[-1]}")


def names(root: Path) -> set[str]:
    return {path.name for path in root.iterdir()}


def test_the_newest_checkpoint_before_the_window_is_in_force(tmp_path: Path) -> None:
    checkpoints(tmp_path, 5, 10, 15)
    assert roll_back(tmp_path, last_good=12) == tmp_path / "step_10"
    assert (tmp_path / "latest").read_text() == "step_10"
    assert names(tmp_path) == {"step_5", "step_10", "step_15.suspect", "latest"}


def test_a_checkpoint_of_the_last_good_step_is_good(tmp_path: Path) -> None:
    checkpoints(tmp_path, 5, 10)
    assert roll_back(tmp_path, last_good=10) == tmp_path / "step_10"
    assert names(tmp_path) == {"step_5", "step_10", "latest"}


def test_without_a_good_checkpoint_nothing_is_left_to_resume(tmp_path: Path) -> None:
    checkpoints(tmp_path, 5)
    assert roll_back(tmp_path, last_good=4) is None
    assert names(tmp_path) == {"step_5.suspect"}
    assert roll_back(tmp_path / "absent", last_good=4) is None


@pytest.mark.parametrize(
    ("actions", "restores", "checkpoint", "reason"),
    [
        ([GuardAction.restore], 0, Path("step_1"), ""),
        ([GuardAction.restore, GuardAction.stop], 0, Path("step_1"), "The run stops"),
        ([GuardAction.restore], 1, Path("step_1"), "guards.max_restores=1 is used up"),
        ([GuardAction.restore], 0, None, "lower checkpoint.every_steps"),
    ],
)
def test_a_run_goes_on_once_and_only_from_a_good_checkpoint(
    actions: list[GuardAction], restores: int, checkpoint: Path | None, reason: str
) -> None:
    found = why_not_restore(actions, restores, GuardsConfig(), checkpoint)
    assert reason in found and bool(found) == bool(reason)


@dataclass
class RecordingLearner:
    """Notes what it is asked for."""

    calls: list[tuple[str, object]]

    def load(self, folder: Path) -> None:
        self.calls.append(("load", folder))

    def publish(self, transfer: object, version: int) -> None:
        self.calls.append(("publish", version))

    def probe(self, version: int) -> None:
        self.calls.append(("probe", version))


def row(accuracy: float) -> dict[str, float]:
    return {"accuracy": accuracy, "accuracy/std_error": 0.05}


def fallen(folder: Path, action: GuardAction) -> tuple[Run, Journal, RecordingLearner]:
    """A run whose accuracy fell at steps 5 and 6, with a checkpoint after every step."""
    config = RunConfig(
        prompts_per_step=32,
        guards=GuardsConfig(accuracy_fall=GuardConfig(threshold=0.2, action=action)),
    )
    watch = Watch(config.guards)
    for step, accuracy in enumerate([0.9, 0.9, 0.9, 0.9, 0.2, 0.2], start=1):
        watch(step, row(accuracy))
    journal = Journal(
        folder=folder,
        tracker=Tracker(None),
        progress=RunProgress(9, enabled=False),
        watch=watch,
        log=LogConfig(completions_per_step=0),
    )
    learner = RecordingLearner([])
    sampler = PromptSampler([prompt("a"), prompt("b")], seed=0)
    memory = PromptMemory()
    memory.update("a", {"n": 1})
    oversampling = Oversampling(OversamplingConfig())
    saved = {
        "sampler": sampler.state(),
        "stream": {},
        "memory": memory.state(),
        "oversampling": oversampling.state(),
        "allocation": {},
        "limit": {},
        "lengths": LengthHistory(PromptMemory()).state(),
    }
    checkpoints(folder / "checkpoints", 1, 2, 3, 4, 5)
    for step in (1, 2, 3, 4, 5):
        state = {"format": FORMAT, "step": step, "identity": identity(config), **saved}
        (folder / "checkpoints" / f"step_{step}" / "state.json").write_text(json.dumps(state))
        seal(folder / "checkpoints" / f"step_{step}")
    sampler.draw(1)
    run: Any = Run(
        config=config,
        sampler=sampler,
        memory=PromptMemory(),
        oversampling=oversampling,
        allocation=Uniform(),
        limit=build_limit(ConstantLimitConfig()),
        learner=learner,
        probe=learner.probe,
        stream=IdleStream(),
        lengths=LengthHistory(PromptMemory()),
        rank=as_drawn,
        rest=nullcontext,
        **dict.fromkeys(("roll_out", "reward", "credit", "transfer", "interrupts")),
    )  # type: ignore[arg-type]
    return run, journal, learner


def test_restoring_puts_the_good_weights_in_force_and_goes_on_with_further_prompts(
    tmp_path: Path,
) -> None:
    run, journal, learner = fallen(tmp_path, GuardAction.restore)
    drawn = run.sampler.state()
    respond(run, journal, 6)
    # The window is steps 4 to 6, sampled by the weights of steps 3 to 5: those of step 2 are good.
    good = tmp_path / "checkpoints" / "step_2"
    assert learner.calls == [("load", good / "learner"), ("publish", 6), ("probe", 6)]
    assert run.sampler.state() == drawn
    assert run.memory.get("a") == {"n": 1}
    assert journal.watch.num_restores == 1
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step_2"


def test_a_second_alarm_stops(tmp_path: Path) -> None:
    run, journal, _ = fallen(tmp_path, GuardAction.restore)
    respond(run, journal, 6)
    for step in (7, 8, 9):
        journal.watch(step, row(0.2))
    with pytest.raises(GuardError, match=r"accuracy_fall, step 9.*max_restores=1 is used up"):
        respond(run, journal, 9)


def test_stopping_names_the_last_good_checkpoint_and_touches_no_weights(tmp_path: Path) -> None:
    run, journal, learner = fallen(tmp_path, GuardAction.stop)
    with pytest.raises(GuardError, match=r"accuracy_fall, step 6.*good checkpoint is .*step_2"):
        respond(run, journal, 6)
    assert learner.calls == []


def test_a_warning_changes_nothing(tmp_path: Path) -> None:
    run, journal, learner = fallen(tmp_path, GuardAction.warn)
    respond(run, journal, 6)
    assert learner.calls == []
    assert (tmp_path / "checkpoints" / "latest").read_text() == "step_5"


@pytest.mark.long
@pytest.mark.engine
def test_a_real_run_that_a_guard_stops_ends_with_a_named_error(tmp_path: Path) -> None:
    """No step is a hundred times as long as the first: the alarm comes with the first window."""
    folder = tmp_path / "run"
    done = subprocess.run(
        [
            Path(sys.executable).with_name("laconic"), "train", ROOT / "recipes/quickstart.yaml",
            f"run.dir={folder}", "num_steps=3", "prompts_per_step=4", "log.wandb=off",
            "evaluation.num_problems=4", "evaluation.samples_per_problem=1",
            "checkpoint.every_steps=1", "guards.window=2", "guards.length_collapse.threshold=100",
            "guards.length_collapse.action=stop",
        ],
        capture_output=True,
        text=True,
        timeout=500,
        check=False,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
    )  # fmt: skip
    assert done.returncode == 1, done.stdout + done.stderr
    assert "laconic: GuardError: guard length_collapse, step 2: mean length" in done.stderr
    assert "guard length_collapse, step 2" in done.stdout
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    steps = [row for row in map(json.loads, lines) if "loss" in row]
    assert [row["guards/length_collapse"] for row in steps] == [0.0, 1.0]
    assert not (folder / "summary.json").exists()
