"""Asynchronous runs against synchronous ones of the same seeds: accuracy given up, time won.

    python scripts/staleness.py runs/staleness      # prints a table, writes results/staleness.json

Rows of other settings than those of the folder stay in the file.

Every run of the folder lies in NAME-seedN. All are of one recipe and differ in learning rate,
`rollout.max_staleness`, correction and seed alone; a run without a summary was stopped by a guard,
and its seed is missing from its row. A setting is non-inferior where the one-sided 95 % bound of
its change in accuracy, over problems and seeds, is above `-MARGIN`.
"""

import argparse
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

import numpy as np

from rl.cli.compose import compose
from rl.cli.options import option_name
from rl.evaluate.outcomes import Outcomes
from scripts.code_hash import ROOT
from scripts.make_results import json_lines
from scripts.markdown import table
from scripts.named_runs import named_runs
from scripts.non_inferior import MARGIN, accuracy_changes, change_and_bound, changed

RESULTS = ROOT / "results" / "staleness.json"
SETTING = ("learning_rate", "staleness", "correction")
FILLING = 3
"""First steps whose seconds are not counted: the stream fills, and the machine warms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run: its setting, its answers after training, and seconds of a step."""

    learning_rate: float
    staleness: int
    correction: str
    seed: int
    outcomes: Outcomes
    step_seconds: float
    learn_seconds: float
    step_tokens: float
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """The runs of one setting, against synchronous ones of the same learning rate and seeds.

    `change` of accuracy from `synchronous`, theirs, and its lower `bound` are None for the
    synchronous runs themselves; seconds are means of a step, `learn_seconds` those of its update
    alone.
    """

    learning_rate: float
    staleness: int
    correction: str
    seeds: list[int]
    accuracy: float
    synchronous: float
    change: float | None
    bound: float | None
    non_inferior: bool | None
    step_seconds: float
    learn_seconds: float
    step_tokens: float
    commits: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="the folder of the finished runs")
    options = parser.parse_args(arguments)
    found = settings(list(finished_runs(options.runs)))
    RESULTS.write_text(json_lines(beside(stored_rows(), [asdict(each) for each in found])))
    print(table(HEADER, map(cells, found)))
    return 0


def stored_rows() -> list[dict[str, Any]]:
    """The rows of the file, which may be missing."""
    return json.loads(RESULTS.read_text()) if RESULTS.is_file() else []


def beside(
    stored: Sequence[dict[str, Any]], found: Sequence[dict[str, Any]]
) -> list[dict[str, Any]]:
    """`found`, and those of the `stored` rows whose setting it does not have."""
    rows = {tuple(row[name] for name in SETTING): row for row in [*stored, *found]}
    return [row for _, row in sorted(rows.items())]


def finished_runs(folder: Path) -> Iterator[Run]:
    """The runs in `folder` that have a summary."""
    for run in named_runs(folder):
        config = compose(run.folder / "recipe.yaml", ["run.dir=''"]).config
        steps = [row for row in run.metrics if "time/learn" in row][FILLING:]
        yield Run(
            learning_rate=config.learner.learning_rate,
            staleness=config.rollout.max_staleness,
            correction=option_name("correction", config.correction),
            seed=run.seed,
            outcomes=run.outcomes(),
            step_seconds=fmean(row["step_time"] for row in steps),
            learn_seconds=fmean(row["time/learn"] for row in steps),
            step_tokens=fmean(row["step_tokens"] for row in steps),
            commit=run.summary["commit"],
        )


def settings(runs: Sequence[Run]) -> list[Setting]:
    """Every setting with its change from the synchronous runs of its learning rate and seeds.

    Raises ValueError when one of these is missing.
    """
    synchronous = {(run.learning_rate, run.seed): run for run in runs if run.staleness == 0}
    if lacking := {(run.learning_rate, run.seed) for run in runs} - set(synchronous):
        raise ValueError(
            f"no synchronous run of (learning rate, seed) {sorted(lacking)}: run them, staleness 0"
        )
    return [
        setting([run for run in runs if key_of(run) == name], synchronous)
        for name in sorted(set(map(key_of, runs)))
    ]


def key_of(run: Run) -> tuple[float, int, str]:
    return run.learning_rate, run.staleness, run.correction


def setting(runs: Sequence[Run], synchronous: Mapping[tuple[float, int], Run]) -> Setting:
    """The runs of one setting, one for each seed."""
    rivals = [synchronous[run.learning_rate, run.seed].outcomes for run in runs]
    change = bound = None
    if runs[0].staleness:
        change, bound = change_and_bound(
            [accuracy_changes(run.outcomes, rival) for run, rival in zip(runs, rivals, strict=True)]
        )
    return Setting(
        learning_rate=runs[0].learning_rate,
        staleness=runs[0].staleness,
        correction=runs[0].correction,
        seeds=[run.seed for run in runs],
        accuracy=fmean(np.nanmean(run.outcomes.accuracies) for run in runs),
        synchronous=fmean(np.nanmean(rival.accuracies) for rival in rivals),
        change=change,
        bound=bound,
        non_inferior=None if bound is None else bound > -MARGIN,
        step_seconds=fmean(run.step_seconds for run in runs),
        learn_seconds=fmean(run.learn_seconds for run in runs),
        step_tokens=fmean(run.step_tokens for run in runs),
        commits=sorted({run.commit for run in runs}),
    )


HEADER = (
    "learning rate", "staleness", "correction", "seeds", "accuracy", "change", "bound",
    "non-inferior", "seconds a step", "of the update", "tokens a step",
)  # fmt: skip


def cells(row: Setting) -> list[str]:
    """The row of a setting under `HEADER`."""
    return [
        f"{row.learning_rate:g}",
        str(row.staleness),
        row.correction,
        ", ".join(map(str, row.seeds)),
        f"{row.accuracy:.3f}",
        *changed(row.change, row.bound),
        f"{row.step_seconds:.1f}",
        f"{row.learn_seconds:.1f}",
        f"{row.step_tokens:.0f}",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
