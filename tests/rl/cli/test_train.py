"""The quickstart for a few steps, launched as a user launches it, on real vLLM and DeepSpeed."""

import json
import os
import subprocess
import sys
from collections import Counter
from pathlib import Path
from typing import Any

import pytest

ROOT = Path(__file__).resolve().parents[3]
TORCHRUN = Path(sys.executable).with_name("torchrun")
SMALL = ["prompts_per_step=4", "evaluation.num_problems=8", "evaluation.samples_per_problem=2"]

pytestmark = pytest.mark.engine


def launch(*overrides: str, processes: int = 1) -> subprocess.CompletedProcess[str]:
    command = [str(TORCHRUN), "--nproc-per-node", str(processes)]
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    return subprocess.run(
        [*command, recipe, *SMALL, *overrides],
        capture_output=True,
        text=True,
        timeout=500,
        env={name: value for name, value in os.environ.items() if name != "OMP_NUM_THREADS"},
    )


def rows(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of two steps with a checkpoint after each."""
    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    done = launch(f"run.dir={folder}", "num_steps=2", "checkpoint.every_steps=1")
    assert done.returncode == 0, done.stdout + done.stderr
    return folder


def test_summary_names_the_real_engine_and_holds_both_evaluations(finished: Path) -> None:
    summary = json.loads((finished / "summary.json").read_text())
    assert summary["engine"] == "vllm 0.32.0"
    assert summary["steps"] == 2
    assert summary["recipe"] == "quickstart"
    figures = {"accuracy", "response_tokens", "accuracy_greedy", "response_tokens_greedy"}
    assert set(summary["base"]) == set(summary["final"]) == figures


def test_run_folder_holds_what_the_design_promises(finished: Path) -> None:
    present = {path.name for path in finished.iterdir()}
    assert present >= {
        "recipe.yaml", "metrics.jsonl", "completions", "eval", "history.jsonl", "checkpoints",
        "export", "summary.json",
    }  # fmt: skip


def test_every_sampled_completion_has_one_fate(finished: Path) -> None:
    history = rows(finished / "history.jsonl")
    assert Counter(row["fate"] for row in history) == {"trained": 2 * 4 * 8}
    assert len({row["id"] for row in history}) == len(history)
    assert [row["versions"] for row in history] == [[0, 0]] * 32 + [[1, 1]] * 32


def test_engine_and_learner_agree_after_every_sync(finished: Path) -> None:
    steps = [row for row in rows(finished / "metrics.jsonl") if "loss" in row]
    assert [row["step"] for row in steps] == [1, 2]
    assert max(row["probe/max_logprob_gap"] for row in steps) < 1e-3
    assert max(row["sampling/sampling_logp_difference/max"] for row in steps) < 1e-3


def test_resume_goes_on_after_the_last_checkpoint(finished: Path) -> None:
    before = rows(finished / "metrics.jsonl")
    done = launch(f"resume={finished}", "num_steps=3")
    assert done.returncode != 0
    assert "'prompts_per_step=4' with resume=" in done.stderr
    assert "the resumed run keeps its recipe" in done.stderr
    done = subprocess.run(
        [str(TORCHRUN), str(ROOT / "recipes" / "quickstart.yaml"), f"resume={finished}",
         "num_steps=3"],
        capture_output=True,
        text=True,
        timeout=500,
    )  # fmt: skip
    assert done.returncode == 0, done.stdout + done.stderr
    after = rows(finished / "metrics.jsonl")
    assert after[:3] == before[:3]
    assert [row["step"] for row in after if "loss" in row] == [1, 2, 3]
    assert json.loads((finished / "summary.json").read_text())["steps"] == 3


LONG = pytest.mark.long


@pytest.mark.parametrize("stage", [pytest.param(1, marks=LONG), pytest.param(2, marks=LONG), 3])
def test_a_live_step_on_two_ranks_exits_0(stage: int, tmp_path: Path) -> None:
    done = launch(
        f"run.dir={tmp_path / 'run'}", "num_steps=1", f"learner.zero_stage={stage}", processes=2
    )
    assert done.returncode == 0, done.stdout + done.stderr
    assert (tmp_path / "run" / "export" / "model.safetensors").is_file()
