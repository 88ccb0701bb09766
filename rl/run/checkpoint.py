"""Checkpoints: `checkpoints/step_N/` with the learner's shards and the run's state, `latest` last.

A checkpoint is written beside its place, sealed (`rl.run.manifest`) and renamed when it is whole;
`latest` names it only then. A crash, a full disk or a lost rank leaves the previous one in force.
"""

import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from rl.disk import sync, write_synced
from rl.errors import CheckpointError
from rl.learner.ranks import LearnerGroup
from rl.run.identity import differences
from rl.run.manifest import damage, seal
from rl.run.rows import move_aside

FORMAT = 4
FOLDER = "checkpoints"


def save_checkpoint(
    run_folder: Path, step: int, state: Mapping[str, Any], learner: LearnerGroup
) -> Path:
    """Saves `step` under the run's folder; raises `CheckpointError` when it cannot be written."""
    root = run_folder / FOLDER
    partial, final = root / f"step_{step}.partial", root / f"step_{step}"
    try:
        _drop_partials(root)
        partial.mkdir(parents=True)
        learner.save(partial / "learner")
        (partial / "state.json").write_text(json.dumps({"format": FORMAT, "step": step, **state}))
        seal(partial)
        partial.rename(final)
        sync(root)
        write_synced(root / "latest", final.name)
    # A full disk is an OSError from us and a RuntimeError from torch's writer.
    except (OSError, RuntimeError) as error:
        free = shutil.disk_usage(run_folder).free // 2**20
        shutil.rmtree(partial, ignore_errors=True)
        raise CheckpointError(
            f"step {step} could not be saved under {root}: {error} (the disk had {free} MiB left). "
            f"{_in_force(run_folder)}"
        ) from error
    return final


def find_checkpoint(run_folder: Path) -> Path | None:
    """The checkpoint that `latest` names; None when the run has saved none."""
    pointer = run_folder / FOLDER / "latest"
    return pointer.parent / pointer.read_text().strip() if pointer.is_file() else None


def read_state(checkpoint: Path, expected: Mapping[str, Any]) -> dict[str, Any]:
    """The run's state in a whole checkpoint of a run whose identity is `expected`.

    Raises ValueError, with the file or the settings and a checkpoint to use instead, when it is
    torn, of another format or of another run.
    """
    if problem := damage(checkpoint):
        raise ValueError(f"{checkpoint} is torn: {problem}. {_instead(checkpoint)}")
    state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())
    if state["format"] != FORMAT:
        raise ValueError(
            f"{checkpoint} has checkpoint format {state['format']}, this version reads {FORMAT}; "
            "resume with the version that wrote it"
        )
    was, now = differences(state["identity"], expected)
    if was:
        raise ValueError(
            f"{checkpoint} is of another run: it was saved with {was}; this run has {now}. "
            f"{_instead(checkpoint)}"
        )
    return state


def drop_old(run_folder: Path, keep_last: int, keep_best: int) -> None:
    """Drops all checkpoints but the newest `keep_last` and the best `keep_best`."""
    root = run_folder / FOLDER
    steps = saved_steps(root)
    best = best_steps(run_folder, steps)[:keep_best] if keep_best else []
    kept = {*steps[-keep_last:], *best}
    for step in set(steps) - kept:
        (root / f"step_{step}").rename(root / f"step_{step}.partial")
    _drop_partials(root)


def best_steps(run_folder: Path, steps: list[int]) -> list[int]:
    """The evaluated ones of `steps`: highest accuracy first, then fewest tokens, then newest.

    The figures are those of metrics.jsonl; a step that was not evaluated does not compete.
    """
    found = {}
    for line in (run_folder / "metrics.jsonl").read_text().splitlines():
        if '"eval/accuracy"' in line and (row := json.loads(line))["step"] in steps:
            accuracy = row["eval/accuracy"]
            # A grader that failed on everything leaves null.
            score = -1.0 if accuracy is None else accuracy
            found[row["step"]] = (score, -row["eval/response_tokens"], row["step"])
    return sorted(found, key=lambda step: found[step], reverse=True)


def put_in_force(run_folder: Path, checkpoint: Path | None, step: int) -> None:
    """`latest` names `checkpoint`, of `step`; later ones move aside: their steps come again."""
    root = run_folder / FOLDER
    _drop_partials(root)
    if checkpoint is not None:
        write_synced(root / "latest", checkpoint.name)
    for later in saved_steps(root):
        if later > step:
            move_aside(root / f"step_{later}", step)


def saved_steps(root: Path) -> list[int]:
    """Steps with a checkpoint in its place, oldest first."""
    names = [path.name.removeprefix("step_") for path in root.glob("step_*")]
    return sorted(int(name) for name in names if name.isdigit())


def _drop_partials(root: Path) -> None:
    for stale in root.glob("step_*.partial"):
        shutil.rmtree(stale)


def _in_force(run_folder: Path) -> str:
    found = find_checkpoint(run_folder)
    if found is None:
        return "No earlier checkpoint exists: the run begins again when it is resumed"
    return f"The checkpoint in force is {found.name}: resume={run_folder} goes on from it"


def _instead(checkpoint: Path) -> str:
    """The newest other checkpoint beside this one that is whole."""
    root = checkpoint.parent
    for step in reversed(saved_steps(root)):
        other = root / f"step_{step}"
        if other != checkpoint and not damage(other):
            return f"The newest whole checkpoint beside it is {other.name}: resume={other}"
    return "No other checkpoint beside it is whole; start anew without resume"
