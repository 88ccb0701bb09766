"""`laconic record`, and runs that replay: on the transformers engine and the lab's checkpoint."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from rl.cli.main import main
from rl.run.history_check import history_problems
from rl.run.references import FILE

ROOT = Path(__file__).resolve().parents[3]
RECIPE = ROOT / "recipes" / "lab" / "o1_pruner.yaml"
SMALL = (
    "rollout=replay_transformers", "rollout.samples_per_prompt=4", "data.num_prompts=12",
    "limit.max_response_tokens=96", "learner.num_threads=1",
)  # fmt: skip
RUN = (
    "prompts_per_step=4", "num_steps=3", "evaluation.num_problems=4", "checkpoint.every_steps=1",
    "evaluation.samples_per_problem=1", "log.wandb=off", "log.progress=false", "deterministic=true",
)  # fmt: skip


def laconic(*arguments: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", "from rl.cli.main import main; main()", *map(str, arguments)],
        capture_output=True,
        text=True,
        timeout=500,
        cwd=ROOT,
    )


def rows(folder: Path) -> list[dict[str, float]]:
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [row for row in map(json.loads, lines) if "loss" in row]


def learned(folder: Path) -> list[tuple[float, ...]]:
    names = ("step", "loss", "grad_norm", "reward", "weights/l2", "completions/mean_length")
    return [tuple(row[name] for name in names) for row in rows(folder)]


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        ((RECIPE.with_name("grpo.yaml"),), "nothing to record; set rollout=replay"),
        ((RECIPE, "--to", ROOT), "exists, and a recording is never written over; name a new file"),
        ((RECIPE, "--to", "/none/at/all"), "there is no folder /none/at; make it first"),
    ],
)
def test_what_cannot_be_recorded_is_said_before_anything_loads(
    arguments: tuple[object, ...],
    said: str,
    capsys: pytest.CaptureFixture[str],
    tmp_path: Path,
) -> None:
    to = () if "--to" in arguments else ("--to", tmp_path / "new")
    with pytest.raises(SystemExit) as stop:
        main(["record", *map(str, (*arguments, *to))])
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


@pytest.mark.engine
def test_a_run_records_for_itself_or_replays_a_recording_and_resumes_bit_for_bit(
    tmp_path: Path,
) -> None:
    done = laconic("train", RECIPE, *SMALL, *RUN, f"run.dir={tmp_path / 'own'}")
    assert done.returncode == 0, done.stdout + done.stderr
    whole = learned(tmp_path / "own")
    assert [row[0] for row in whole] == [1, 2, 3]
    first, _, last = rows(tmp_path / "own")
    assert first["ratio/mean"] == pytest.approx(1, abs=1e-3) and last["ratio/max"] > 1.001
    assert last["staleness/mean"] == 2 and last["probe/max_logprob_gap"] < 1e-3
    assert history_problems(tmp_path / "own") == []

    # The same answers from a file of their own give the same run.
    file = tmp_path / "answers"
    done = laconic("record", RECIPE, *SMALL, "--to", file)
    assert done.returncode == 0, done.stdout + done.stderr
    assert file.read_bytes() == (tmp_path / "own" / FILE).read_bytes()
    given = (*SMALL, *RUN, f"rollout.recording={file}")
    done = laconic("train", RECIPE, *given, f"run.dir={tmp_path / 'given'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert learned(tmp_path / "given") == whole
    assert not (tmp_path / "given" / FILE).exists()

    done = laconic("train", RECIPE, f"resume={tmp_path / 'own' / 'checkpoints' / 'step_2'}")
    assert done.returncode == 0, done.stdout + done.stderr
    assert learned(tmp_path / "own") == whole

    done = laconic("train", RECIPE, *given, "model=lab_short_tied", f"run.dir={tmp_path / 'x'}")
    assert done.returncode == 2
    assert "it was made with model.path=lab:short, and this run has model.path=lab:short_tied" in (
        " ".join(done.stderr.split())
    )
    assert not (tmp_path / "x").exists()
