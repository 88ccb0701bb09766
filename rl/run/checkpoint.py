"""Checkpoints: `checkpoints/step_N/` with the learner's shards and the run's state, `latest` last.

A checkpoint is written beside its place and renamed when it is whole; `latest` names it only then,
so that a crash leaves the previous one in force.
"""

import json
import os
import shutil
from pathlib import Path
from typing import Any

from rl.learner.ranks import LearnerGroup

FORMAT = 1


def save_checkpoint(
    run_folder: Path, step: int, state: dict[str, Any], learner: LearnerGroup, keep_last: int
) -> Path:
    """Saves `step` under the run's folder and drops all but the newest `keep_last`."""
    root = run_folder / "checkpoints"
    partial, final = root / f"step_{step}.partial", root / f"step_{step}"
    for stale in (partial, final):
        shutil.rmtree(stale, ignore_errors=True)
    partial.mkdir(parents=True)
    learner.save(partial / "learner")
    _write_synced(partial / "state.json", json.dumps({"format": FORMAT, "step": step, **state}))
    partial.rename(final)
    _write_synced(root / "latest.partial", final.name)
    (root / "latest.partial").rename(root / "latest")
    for old in sorted(_steps(root))[: -max(keep_last, 1)]:
        shutil.rmtree(root / f"step_{old}")
    return final


def find_checkpoint(run_folder: Path) -> Path:
    """The checkpoint that `latest` names; raises ValueError when there is none to resume."""
    pointer = run_folder / "checkpoints" / "latest"
    if not pointer.is_file():
        raise ValueError(
            f"resume={run_folder}: no checkpoint there ({pointer} is missing); give the folder of "
            "a run that saved one, or start anew without resume"
        )
    return pointer.parent / pointer.read_text().strip()


def read_state(checkpoint: Path) -> dict[str, Any]:
    """The run's state in a checkpoint; raises ValueError when it is torn or foreign."""
    path = checkpoint / "state.json"
    try:
        state = json.loads(path.read_text())
    except (OSError, json.JSONDecodeError) as error:
        raise ValueError(f"{path} cannot be read ({error}): the checkpoint is torn") from error
    if not isinstance(state, dict) or state.get("format") != FORMAT:
        raise ValueError(
            f"{path} is not of checkpoint format {FORMAT}; resume with the version that wrote it"
        )
    return state


def move_aside_after(path: Path, step: int) -> None:
    """Moves the rows of a JSONL file that are later than `step` to `<name>.after_step_N`."""
    if not path.is_file():
        return
    rows = path.read_text().splitlines(keepends=True)
    kept = [row for row in rows if json.loads(row)["step"] <= step]
    later = [row for row in rows if json.loads(row)["step"] > step]
    if later:
        path.with_name(f"{path.name}.after_step_{step}").write_text("".join(later))
        _write_synced(path, "".join(kept))


def _steps(root: Path) -> list[int]:
    names = [p.name.removeprefix("step_") for p in root.glob("step_*")]
    return [int(name) for name in names if name.isdigit()]


def _write_synced(path: Path, text: str) -> None:
    with path.open("w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
