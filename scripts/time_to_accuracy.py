"""Seconds of training until runs are as accurate as a target, against a rival's of the same seeds.

    python scripts/time_to_accuracy.py runs/tppo --accuracy 0.8 --rival ppo

Every run of the folder lies in VARIANT-seedN and evaluates every few steps
(`evaluation.every_steps`). Its seconds are those of its steps and of the evaluations between them:
an asynchronous stream goes on sampling meanwhile, which would be time won for nothing. Prints a
table and writes results/time_to_accuracy.json. Fix the accuracy before the runs, not after them.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from itertools import pairwise
from pathlib import Path
from statistics import fmean
from typing import Any

from scripts.code_hash import ROOT
from scripts.make_results import json_lines
from scripts.markdown import interval, table
from scripts.named_runs import named_runs
from scripts.non_inferior import ratio

RESULTS = ROOT / "results" / "time_to_accuracy.json"
EXPLAINED = "critic/vf_explained_var"


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run: evaluated accuracies after so many seconds of training, the base's first.

    `explained_variance` is the critic's in the last quarter of the steps, None without one.
    """

    variant: str
    seed: int
    seconds: tuple[float, ...]
    accuracies: tuple[float, ...]
    explained_variance: float | None
    commit: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The runs of one variant; `seconds` by seed, None where the accuracy was not reached.

    `speedup` is the rival's seconds over these, [ratio, low, high] over the seeds that both
    reached; None for the rival itself, and with fewer than two such seeds.
    """

    variant: str
    accuracy: float
    seeds: list[int]
    seconds: list[float | None]
    speedup: list[float] | None
    final_accuracy: float
    explained_variance: float | None
    commits: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="the folder of the finished runs")
    parser.add_argument("--accuracy", type=float, required=True)
    parser.add_argument("--rival", required=True, help="the variant that the others are against")
    options = parser.parse_args(arguments)
    found = rows(list(finished_runs(options.runs)), options.accuracy, options.rival)
    RESULTS.write_text(json_lines([asdict(row) for row in found]))
    print(table(HEADER, map(cells, found)))
    return 0


def finished_runs(folder: Path) -> Iterator[Run]:
    """The runs in `folder` that have a summary."""
    for run in named_runs(folder):
        seconds, accuracies = curve(run.metrics)
        yield Run(
            variant=run.variant,
            seed=run.seed,
            seconds=seconds,
            accuracies=accuracies,
            explained_variance=late_explained_variance(run.metrics),
            commit=run.summary["commit"],
        )


def curve(metrics: Sequence[dict[str, Any]]) -> tuple[tuple[float, ...], tuple[float, ...]]:
    """Seconds and accuracy of every evaluation [K]; the base's, before training, is at 0."""
    passed, seconds, accuracies = 0.0, [], []
    for row in metrics:
        passed += row.get("step_time", 0.0)
        if "eval/accuracy" in row:
            seconds.append(passed)
            accuracies.append(row["eval/accuracy"])
            passed += row["time/evaluate"] if row["step"] else 0.0
    return tuple(seconds), tuple(accuracies)


def late_explained_variance(metrics: Sequence[dict[str, Any]]) -> float | None:
    """The critic's over the last quarter of its steps; None without a critic."""
    explained = [row[EXPLAINED] for row in metrics if EXPLAINED in row]
    return fmean(explained[-max(1, len(explained) // 4) :]) if explained else None


def seconds_until(run: Run, accuracy: float) -> float | None:
    """Seconds after which `accuracy` is first reached, on straight lines between evaluations."""
    points = list(zip(run.seconds, run.accuracies, strict=True))
    if points and points[0][1] >= accuracy:
        return 0.0
    for (began, low), (ended, high) in pairwise(points):
        if low < accuracy <= high:
            return began + (ended - began) * (accuracy - low) / (high - low)
    return None


def rows(runs: Sequence[Run], accuracy: float, rival: str) -> list[Row]:
    """A row for each variant, the rival first. Raises ValueError when the rival has no run."""
    variants = sorted(
        {run.variant for run in runs}, key=lambda variant: (variant != rival, variant)
    )
    if rival not in variants:
        raise ValueError(f"--rival {rival}: there are runs of {', '.join(variants) or 'nothing'}")
    theirs = {run.seed: seconds_until(run, accuracy) for run in runs if run.variant == rival}
    return [
        row(
            [run for run in runs if run.variant == variant],
            accuracy,
            against={} if variant == rival else theirs,
        )
        for variant in variants
    ]


def row(runs: Sequence[Run], accuracy: float, against: Mapping[int, float | None]) -> Row:
    """The row of one variant, whose `runs` have a seed each; `against` is the rival, by seed."""
    found = {run.seed: seconds_until(run, accuracy) for run in runs}
    pairs = [(against.get(seed), seconds) for seed, seconds in found.items()]
    both = [(other, mine) for other, mine in pairs if other and mine]
    explained = [run.explained_variance for run in runs if run.explained_variance is not None]
    return Row(
        variant=runs[0].variant,
        accuracy=accuracy,
        seeds=list(found),
        seconds=list(found.values()),
        speedup=ratio(both),
        final_accuracy=fmean(run.accuracies[-1] for run in runs),
        explained_variance=fmean(explained) if explained else None,
        commits=sorted({run.commit for run in runs}),
    )


HEADER = (
    "variant", "seconds until the accuracy, by seed", "speed-up", "accuracy at the end",
    "explained variance",
)  # fmt: skip


def cells(found: Row) -> list[str]:
    """A variant's row under `HEADER`."""
    return [
        found.variant,
        ", ".join("not reached" if s is None else f"{s:.0f}" for s in found.seconds),
        interval(found.speedup),
        f"{found.final_accuracy:.3f}",
        "-" if found.explained_variance is None else f"{found.explained_variance:.2f}",
    ]


if __name__ == "__main__":
    raise SystemExit(main())
