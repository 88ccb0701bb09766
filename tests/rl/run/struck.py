"""Runs that are struck in a chosen phase, and how they compare with one that was not."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import psutil
import pyarrow.parquet as pq
import torch

from rl.run.manifest import MANIFEST
from rl.run.metrics import varies

ROOT = Path(__file__).resolve().parents[3]
DRIVER = Path(__file__).with_name("phase_driver.py")
RECIPES = ROOT / "recipes" / "lab"
TINY = (
    "prompts_per_step=4",
    "algorithm.group_size=4",
    "limit.max_response_tokens=96",
    "rollout.probe_tokens=64",
    "evaluation.num_problems=4",
    "evaluation.samples_per_problem=2",
    "evaluation.every_steps=2",
    "checkpoint.every_steps=1",
    "rollout.kv_cache_gib=0.25",
    "log.wandb=off",
    "deterministic=true",
)
METHOD_STATE = ("sampler", "memory", "oversampling", "allocation", "limit", "num_tokens")
"""Parts of a checkpoint's state that a resumed run shares with one that was not interrupted."""
KILL_GROUP = "kill -s KILL -- -{group}"
TERMINATE_GROUP = "kill -s TERM -- -{group}"
LIMIT_SECONDS = 900.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Ended:
    """A run that ended: its exit code, what it printed, the seconds since it was struck or, when
    it was not, since it began."""

    code: int
    output: str
    seconds: float


def launch(
    folder: Path,
    *overrides: str,
    recipe: str = "grpo",
    num_ranks: int = 0,
    before: Sequence[str] = (),
    **plan: Any,
) -> Ended:
    """Runs a lab recipe under the driver, alone or as `num_ranks` processes of torchrun.

    `plan` is the driver's, `before` a command that runs the run. Log and marks lie beside `folder`;
    a pipe would be held open by orphans, if there were any.
    """
    command = [*before, sys.executable, "-W", "ignore"]
    if num_ranks:
        command += ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_ranks}"]
    plan["marks"] = str(marks_of(folder))
    log = folder.with_suffix(".log")
    environment = os.environ | {"PYTHONPATH": str(ROOT), "LACONIC_TEST_RUN": str(folder)}
    environment.pop("OMP_NUM_THREADS", None)
    marks_of(folder).unlink(missing_ok=True)
    began = time.time()
    with log.open("w") as file:
        process = subprocess.Popen(
            [*command, str(DRIVER), json.dumps(plan), str(RECIPES / f"{recipe}.yaml"), *overrides],
            env=environment,
            stdout=file,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            code = process.wait(LIMIT_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
            raise
    struck = phase_seconds(folder).get("strike", [began])[0]
    return Ended(code=code, output=log.read_text(), seconds=time.time() - struck)


def marks_of(folder: Path) -> Path:
    return folder.with_suffix(".marks")


def phase_seconds(folder: Path) -> dict[str, list[float]]:
    """Seconds of every phase, in order."""
    found: dict[str, list[float]] = {}
    marks = marks_of(folder)
    for line in marks.read_text().splitlines() if marks.exists() else []:
        mark = json.loads(line)
        found.setdefault(mark["phase"], []).append(mark["seconds"])
    return found


def orphans(folder: Path) -> list[str]:
    """Processes of the run in `folder` that still live, after a moment's grace."""
    for _ in range(50):
        left = [line for process in psutil.process_iter() if (line := _of_run(process, folder))]
        if not left:
            return []
        time.sleep(0.1)
    return left


def _of_run(process: psutil.Process, folder: Path) -> str:
    try:
        ours = process.environ().get("LACONIC_TEST_RUN") == str(folder)
        return f"{process.pid} {' '.join(process.cmdline())}" if ours else ""
    except psutil.Error:
        return ""


def rows(folder: Path, name: str = "metrics.jsonl") -> list[dict[str, Any]]:
    """The rows of a run's file; none before it is made."""
    path = folder / name
    return [json.loads(line) for line in path.read_text().splitlines()] if path.exists() else []


def lasting(row: dict[str, Any]) -> dict[str, Any]:
    """A row of metrics without those that two identical runs may log differently."""
    return {name: value for name, value in row.items() if name == "step" or not varies(name)}


def saved_state(folder: Path, step: int) -> dict[str, Any]:
    """What the checkpoint of `step` holds beside the learner, without where and how it was run."""
    path = folder / "checkpoints" / f"step_{step}" / "state.json"
    state: dict[str, Any] = json.loads(path.read_text())
    return {name: state[name] for name in METHOD_STATE}


def completions(folder: Path, step: int) -> list[dict[str, Any]]:
    """What was written down of the completions of `step`: limits, budgets, scores, advantages."""
    path = folder / "completions" / f"step_{step:05d}.parquet"
    found: list[dict[str, Any]] = pq.read_table(path).to_pylist()
    return found


def tensors(checkpoint: Path) -> dict[str, torch.Tensor]:
    """Every tensor of a learner's checkpoint, weights and optimizer, by file and place."""
    found = {}
    for path in sorted((checkpoint / "learner").rglob("*.pt")):
        content = torch.load(path, weights_only=False)
        file = path.relative_to(checkpoint)
        found |= {f"{file}/{key}": value for key, value in _tensors("", content)}
    return found


def _tensors(place: str, content: Any) -> list[tuple[str, torch.Tensor]]:
    if isinstance(content, torch.Tensor):
        return [(place, content)]
    if isinstance(content, dict):
        items = list(content.items())
    else:
        items = list(enumerate(content)) if isinstance(content, list | tuple) else []
    return [pair for key, value in items for pair in _tensors(f"{place}.{key}", value)]


def differences(folder: Path, reference: Path, step: int) -> list[str]:
    """How two finished runs differ: metrics, completions, weights, optimizer, what the method
    remembers, history, generators."""
    ours, theirs = ([lasting(row) for row in rows(run)] for run in (folder, reference))
    found = [] if len(ours) == len(theirs) else [f"{len(ours)} rows, not {len(theirs)}"]
    for mine, other in zip(ours, theirs, strict=False):
        keys = sorted(key for key in mine | other if mine.get(key) != other.get(key))
        found += [f"step {other['step']}: {key}" for key in keys]
    if rows(folder, "history.jsonl") != rows(reference, "history.jsonl"):
        found.append("history.jsonl")
    steps = range(1, step + 1)
    found += [
        f"step {n}: completions"
        for n in steps
        if completions(folder, n) != completions(reference, n)
    ]
    states = [saved_state(run, step) for run in (folder, reference)]
    found += [f"state: {name}" for name in METHOD_STATE if states[0][name] != states[1][name]]
    checkpoints = [run / "checkpoints" / f"step_{step}" for run in (folder, reference)]
    mine, other = map(tensors, checkpoints)
    found += [key for key in mine | other if not _equal(mine.get(key), other.get(key))]
    files = [json.loads((path / MANIFEST).read_text())["files"] for path in checkpoints]
    found += [
        name
        for name in files[0]
        if "generators" in name and files[0][name]["blake2b"] != files[1][name]["blake2b"]
    ]
    weights = [(run / "export" / "model.safetensors").read_bytes() for run in (folder, reference)]
    return found if weights[0] == weights[1] else [*found, "export/model.safetensors"]


def _equal(mine: torch.Tensor | None, other: torch.Tensor | None) -> bool:
    return mine is not None and other is not None and torch.equal(mine, other)
