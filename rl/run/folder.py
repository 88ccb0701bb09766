"""A run on disk: its folder, the resolved recipe, metrics line by line, and the summary.

recipe.yaml   metrics.jsonl   history.jsonl   timeline.jsonl   completions/   eval/   checkpoints/
export/
summary.json  written last
"""

import os
import secrets
import subprocess
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
import psutil

from rl.evaluate.evaluation import Evaluation, LevelFigures, summary_figures
from rl.run.metrics import check_names

RUNS = Path("runs")

CODE = ("data", "rewards", "rollout", "rl", "recipes")
"""What a run's results depend on, of all that the repository holds."""


def create_run_folder(run_dir: str, recipe_stem: str) -> Path:
    """Makes `run_dir`, or `runs/<recipe>-<id>` when it is empty; returns its absolute path.

    The id sorts by time. Raises ValueError when the folder holds anything: a run never overwrites.
    """
    if run_dir:
        return _claim(Path(run_dir).absolute())
    started = time.strftime("%Y%m%d-%H%M%S")
    return _claim((RUNS / f"{recipe_stem}-{started}-{secrets.token_hex(2)}").absolute())


def newest_run(recipe_stem: str, runs: Path = RUNS) -> Path:
    """The newest run of a recipe under `runs`; raises ValueError when there is none."""
    found = [path.parent for path in runs.glob(f"{recipe_stem}-*/recipe.yaml")]
    if not found:
        raise ValueError(
            f"resume=latest: no run of {recipe_stem!r} under {runs.absolute()}; "
            "set resume=PATH to the folder of a run"
        )
    return max(found, key=lambda folder: (folder / "recipe.yaml").stat().st_mtime_ns).absolute()


def write_recipe(folder: Path, resolved_yaml: str) -> None:
    """Saves the resolved recipe as `recipe.yaml`."""
    (folder / "recipe.yaml").write_text(resolved_yaml)


def append_metrics(folder: Path, step: int, metrics: Mapping[str, float]) -> None:
    """Appends `{"step", ...}` to `metrics.jsonl` in one write; a NaN becomes null.

    Raises ValueError when a name is not listed in `rl.run.metrics`.
    """
    check_names(metrics)
    line = msgspec.json.encode({"step": step, **{k: float(v) for k, v in metrics.items()}})
    with (folder / "metrics.jsonl").open("ab") as file:
        file.write(line + b"\n")


def write_summary(
    folder: Path,
    *,
    recipe: str,
    engine: str,
    lab_version: str,
    seed: int,
    steps: int,
    wall_s: float,
    data: Mapping[str, Any],
    base: Evaluation | None,
    final: Evaluation | None,
) -> dict[str, Any]:
    """Writes `summary.json` (whole or not at all) and returns it; evaluations not run are null."""
    summary = {
        "recipe": recipe,
        "engine": engine,
        "lab_version": lab_version,
        "commit": source_commit(),
        "seed": seed,
        "steps": steps,
        "wall_s": round(wall_s, 1),
        "base": summary_figures(base) if base else None,
        "final": summary_figures(final) if final else None,
        "by_level": {
            "base": _levels(base.by_level()) if base else {},
            "final": _levels(final.by_level()) if final else {},
        },
        "data": data,
    }
    text = msgspec.json.format(msgspec.json.encode(summary), indent=2) + b"\n"
    partial = folder / "summary.json.partial"
    partial.write_bytes(text)
    partial.rename(folder / "summary.json")
    return summary


def process_start() -> float:
    """Unix time at which this program was started; under torchrun, torchrun itself."""
    process = psutil.Process()
    parent = process.parent() if "TORCHELASTIC_RUN_ID" in os.environ else None
    return float((parent or process).create_time())


def source_commit() -> str:
    """Commit of the checkout that runs, `-dirty` when code or recipes differ from it.

    Empty for an installed copy.
    """
    root = Path(__file__).resolve().parents[2]
    if not (root / ".git").exists():
        return ""
    try:
        head = _git(root, "rev-parse", "HEAD")
        differs = _git(root, "diff", "--quiet", "HEAD", "--", *CODE)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    if head.returncode:
        return ""
    return head.stdout.strip() + ("-dirty" if differs.returncode else "")


def _git(root: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        ["git", *arguments], cwd=root, capture_output=True, text=True, check=False, timeout=10
    )


def _claim(folder: Path) -> Path:
    """Creates `folder`; one that exists must be empty."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
        content = sorted(path.name for path in folder.iterdir())
    except OSError as error:
        raise ValueError(
            f"run.dir={folder}: cannot be made or read ({error}); set run.dir to a new folder"
        ) from error
    if content:
        raise ValueError(
            f"run.dir={folder}: not empty (it holds {', '.join(content[:3])}"
            f"{', ...' if len(content) > 3 else ''}) and a run never overwrites; set run.dir to a "
            f"new folder, or resume={folder} to continue the run in it"
        )
    return folder


def _levels(levels: Mapping[str, LevelFigures]) -> dict[str, dict[str, float | None]]:
    return {
        level: {"accuracy": figures.accuracy, "response_tokens": figures.response_tokens}
        for level, figures in levels.items()
    }
