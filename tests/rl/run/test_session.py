"""Where a run begins: anew, again, or at a checkpoint, with everything later moved aside."""

import json
from pathlib import Path
from typing import Any, cast

import pytest

from rl.config import RunConfig
from rl.run.checkpoint import save_checkpoint
from rl.run.identity import identity
from rl.run.rows import sizes
from rl.run.session import open_run


class Learner:
    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "shard.pt").write_bytes(b"weights")


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A run killed in step 5, with checkpoints of steps 2 and 4."""
    for step in range(1, 6):
        with (tmp_path / "metrics.jsonl").open("a") as file:
            file.write(json.dumps({"step": step}) + "\n")
        if step in (2, 4):
            state = {"rows": sizes(tmp_path), "identity": identity(RunConfig())}
            save_checkpoint(tmp_path, step, state, cast(Any, Learner()))
    (tmp_path / "summary.json").write_text("{}")
    return tmp_path


def steps(path: Path) -> list[int]:
    return [json.loads(line)["step"] for line in path.read_text().splitlines()]


def test_the_latest_checkpoint_and_the_rows_up_to_it(folder: Path) -> None:
    start = open_run(RunConfig(resume=str(folder)), "x", "")
    assert (start.folder, start.step) == (folder, 4)
    assert steps(folder / "metrics.jsonl") == [1, 2, 3, 4]
    assert steps(folder / "metrics.jsonl.after_step_4") == [5]
    assert not (folder / "summary.json").exists()


def test_an_earlier_checkpoint_by_its_path(folder: Path) -> None:
    start = open_run(RunConfig(resume=str(folder / "checkpoints" / "step_2")), "x", "")
    assert (start.folder, start.step) == (folder, 2)
    assert steps(folder / "metrics.jsonl") == [1, 2]
    assert (folder / "checkpoints" / "latest").read_text() == "step_2"
    assert (folder / "checkpoints" / "step_4.after_step_2").is_dir()


def test_a_run_without_a_checkpoint_begins_again_in_its_folder(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "metrics.jsonl").write_text('{"step": 0}\n')
    start = open_run(RunConfig(resume=str(tmp_path)), "x", "")
    assert (start.checkpoint, start.step) == (None, 0)
    assert steps(tmp_path / "metrics.jsonl") == []
    assert f"{tmp_path} has no checkpoint: the run begins again at step 0" in caplog.text


def test_a_refused_checkpoint_leaves_every_row_in_its_place(folder: Path) -> None:
    (folder / "checkpoints" / "step_4" / "learner" / "shard.pt").write_bytes(b"weighty")
    with pytest.raises(ValueError, match=r"step_4 is torn: .* resume=.*/checkpoints/step_2"):
        open_run(RunConfig(resume=str(folder)), "x", "")
    assert steps(folder / "metrics.jsonl") == [1, 2, 3, 4, 5]


def test_fewer_steps_than_are_done_are_refused(folder: Path) -> None:
    with pytest.raises(ValueError, match=r"num_steps=3 .* step 4 is done already"):
        open_run(RunConfig(resume=str(folder), num_steps=3), "x", "")
