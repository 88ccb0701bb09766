"""Checkpoints on disk, with a learner that writes one small file."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from rl.errors import CheckpointError
from rl.run.checkpoint import (
    best_steps,
    drop_old,
    find_checkpoint,
    put_in_force,
    read_state,
    save_checkpoint,
    saved_steps,
)

IDENTITY = {"model.path": "lab:short", "seed": 0}
STATE: dict[str, Any] = {"identity": IDENTITY, "sampler": {"epoch": 0}}


class Learner:
    """Stands for a `LearnerGroup`; `fails` is raised after half of the shard is written."""

    def __init__(self, fails: Exception | None = None) -> None:
        self.fails = fails

    def save(self, folder: Path) -> None:
        folder.mkdir()
        (folder / "shard.pt").write_bytes(b"half")
        if self.fails:
            raise self.fails
        (folder / "shard.pt").write_bytes(b"half and half")


def save(folder: Path, *steps: int) -> None:
    for step in steps:
        save_checkpoint(folder, step, STATE, Learner())  # type: ignore[arg-type]


def test_the_newest_is_in_force_and_reads_back(tmp_path: Path) -> None:
    assert find_checkpoint(tmp_path) is None
    save(tmp_path, 2, 4)
    found = find_checkpoint(tmp_path)
    assert found == tmp_path / "checkpoints" / "step_4"
    assert read_state(found, IDENTITY) == {"format": 4, "step": 4, **STATE}


@pytest.mark.parametrize(
    "error",
    [OSError(28, "No space left on device"), RuntimeError("PytorchStreamWriter failed writing")],
)
def test_a_failed_save_leaves_the_previous_one_in_force(tmp_path: Path, error: Exception) -> None:
    save(tmp_path, 2)
    with pytest.raises(CheckpointError) as caught:
        save_checkpoint(tmp_path, 4, STATE, Learner(error))  # type: ignore[arg-type]
    message = str(caught.value)
    assert message.startswith(f"step 4 could not be saved under {tmp_path}/checkpoints: {error}")
    assert re.search(r"\(the disk had \d+ MiB left\)", message)
    assert message.endswith(f"in force is step_2: resume={tmp_path} goes on from it")
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["latest", "step_2"]
    assert read_state(tmp_path / "checkpoints" / "step_2", IDENTITY)["step"] == 2


def test_what_a_crash_left_behind_is_cleared_by_the_next_save(tmp_path: Path) -> None:
    (tmp_path / "checkpoints" / "step_4.partial" / "learner").mkdir(parents=True)
    save(tmp_path, 4)
    assert sorted(p.name for p in (tmp_path / "checkpoints").iterdir()) == ["latest", "step_4"]


def test_a_torn_checkpoint_is_refused_with_the_file_and_a_whole_one(tmp_path: Path) -> None:
    save(tmp_path, 2, 4)
    torn = tmp_path / "checkpoints" / "step_4"
    (torn / "learner" / "shard.pt").write_bytes(b"half and hale")
    with pytest.raises(ValueError) as caught:
        read_state(torn, IDENTITY)
    assert str(caught.value) == (
        f"{torn} is torn: learner/shard.pt has other bytes than were saved. The newest whole "
        f"checkpoint beside it is step_2: resume={torn.with_name('step_2')}"
    )


def test_a_checkpoint_of_another_run_is_refused_by_what_differs(tmp_path: Path) -> None:
    save(tmp_path, 2)
    with pytest.raises(
        ValueError, match=r"with model.path=lab:short; this run has model.path=lab:l"
    ):
        read_state(tmp_path / "checkpoints" / "step_2", IDENTITY | {"model.path": "lab:long"})


def test_another_format_is_refused(tmp_path: Path) -> None:
    save_checkpoint(tmp_path, 2, STATE | {"format": 1}, Learner())  # type: ignore[arg-type]
    with pytest.raises(ValueError, match="has checkpoint format 1, this version reads 4"):
        read_state(tmp_path / "checkpoints" / "step_2", IDENTITY)


def evaluated(folder: Path, *figures: tuple[int, float | None, float]) -> None:
    rows = [
        {"step": step, "eval/accuracy": accuracy, "eval/response_tokens": tokens}
        for step, accuracy, tokens in figures
    ]
    text = "".join(f"{json.dumps(row)}\n" for row in [{"step": 1, "loss": 0.0}, *rows])
    (folder / "metrics.jsonl").write_text(text)


def test_the_best_are_the_most_accurate_then_the_shortest(tmp_path: Path) -> None:
    evaluated(tmp_path, (0, 0.99, 9), (1, 0.8, 50), (2, 0.9, 60), (3, 0.9, 40), (4, None, 1))
    assert best_steps(tmp_path, [1, 2, 3, 4, 5]) == [3, 2, 1, 4]


def test_retention_keeps_the_newest_and_the_best(tmp_path: Path) -> None:
    save(tmp_path, 1, 2, 3, 4, 5)
    evaluated(tmp_path, (1, 0.9, 50), (2, 0.7, 50), (3, 0.8, 50))
    drop_old(tmp_path, keep_last=2, keep_best=1)
    assert saved_steps(tmp_path / "checkpoints") == [1, 4, 5]
    drop_old(tmp_path, keep_last=1, keep_best=0)
    assert saved_steps(tmp_path / "checkpoints") == [5]


def test_later_checkpoints_do_not_outlive_a_resume_from_an_earlier_one(tmp_path: Path) -> None:
    save(tmp_path, 2, 4)
    earlier = tmp_path / "checkpoints" / "step_2"
    put_in_force(tmp_path, earlier, 2)
    assert find_checkpoint(tmp_path) == earlier
    assert saved_steps(tmp_path / "checkpoints") == [2]
    assert (tmp_path / "checkpoints" / "step_4.after_step_2").is_dir()
