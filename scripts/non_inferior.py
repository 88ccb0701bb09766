"""Variants of a recipe against a rival of the same seeds: accuracy given up, tokens and time won.

    python scripts/non_inferior.py runs/trees --rival grpo --to results/trees.json

Every run of the folder lies in VARIANT-seedN. A variant is non-inferior where the one-sided 95 %
bound of its change in accuracy, over problems and seeds, is above `-MARGIN`. Prints a table too.
"""

import argparse
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from statistics import fmean

import numpy as np

from rl.bench.bench import paired_ratio
from rl.evaluate.comparison import shared_problems
from rl.evaluate.formulas import Floats
from rl.evaluate.outcomes import Outcomes
from scripts.make_results import json_lines
from scripts.markdown import interval, table
from scripts.named_runs import named_runs

MARGIN = 0.02
RESAMPLES = 4000


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """A finished run: its answers after training, and what its steps took in all."""

    variant: str
    seed: int
    outcomes: Outcomes
    tokens: float
    seconds: float
    commit: str

    @property
    def accuracy(self) -> float:
        return float(np.nanmean(self.outcomes.accuracies))


@dataclass(frozen=True, slots=True, kw_only=True)
class Row:
    """The runs of one variant over the rival's of the same seeds.

    `change` of accuracy and its lower `bound` are None for the rival itself; `tokens` sampled in
    training and `seconds` of it are [ratio, low, high], and None with fewer than two seeds.
    """

    variant: str
    seeds: list[int]
    accuracy: float
    response_tokens: float
    change: float | None
    bound: float | None
    tokens: list[float] | None
    seconds: list[float] | None
    commits: list[str]


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("runs", type=Path, help="the folder of the finished runs")
    parser.add_argument("--rival", required=True, help="the variant that the others are against")
    parser.add_argument("--to", type=Path, required=True, help="the JSON file to write")
    options = parser.parse_args(arguments)
    found = rows(list(finished_runs(options.runs)), options.rival)
    options.to.write_text(json_lines([asdict(row) for row in found]))
    print(table(HEADER, map(cells, found)))
    return 0


def finished_runs(folder: Path) -> Iterator[Run]:
    """The runs in `folder` that have a summary."""
    for run in named_runs(folder):
        steps = [row for row in run.metrics if "step_time" in row]
        yield Run(
            variant=run.variant,
            seed=run.seed,
            outcomes=run.outcomes(),
            tokens=sum(row["step_tokens"] for row in steps),
            seconds=sum(row["step_time"] for row in steps),
            commit=run.summary["commit"],
        )


def rows(runs: Sequence[Run], rival: str) -> list[Row]:
    """A row for each variant, the rival first. Raises ValueError when the rival lacks a seed."""
    theirs = {run.seed: run for run in runs if run.variant == rival}
    if lacking := {run.seed for run in runs} - set(theirs):
        raise ValueError(f"no run of {rival} with seeds {sorted(lacking)}: run it, or leave them")
    variants = sorted(
        {run.variant for run in runs}, key=lambda variant: (variant != rival, variant)
    )
    return [
        row([run for run in runs if run.variant == variant], {} if variant == rival else theirs)
        for variant in variants
    ]


def row(runs: Sequence[Run], theirs: Mapping[int, Run]) -> Row:
    """The row of one variant, whose `runs` have a seed each; `theirs` is the rival, by seed."""
    pairs = [(run, theirs[run.seed]) for run in runs if theirs]
    change, bound = (
        change_and_bound([accuracy_changes(mine.outcomes, its.outcomes) for mine, its in pairs])
        if pairs
        else (None, None)
    )
    return Row(
        variant=runs[0].variant,
        seeds=[run.seed for run in runs],
        accuracy=fmean(run.accuracy for run in runs),
        response_tokens=fmean(float(run.outcomes.tokens.mean()) for run in runs),
        change=change,
        bound=bound,
        tokens=ratio([(mine.tokens, its.tokens) for mine, its in pairs]),
        seconds=ratio([(mine.seconds, its.seconds) for mine, its in pairs]),
        commits=sorted({run.commit for run in runs}),
    )


def ratio(pairs: Sequence[tuple[float, float]]) -> list[float] | None:
    """Of each pair the first over the second, [ratio, low, high]; None with fewer than two."""
    return list(paired_ratio(*zip(*pairs, strict=True))) if len(pairs) > 1 else None


def accuracy_changes(outcomes: Outcomes, base: Outcomes) -> Floats:
    """Accuracy on each problem minus the base's on the same one [P]."""
    mine, other = shared_problems(outcomes, base)
    return mine.accuracies - other.accuracies


def change_and_bound(changes: Sequence[Floats]) -> tuple[float, float]:
    """Mean change over seeds and problems, and the 5 % quantile of its bootstrap.

    `changes` are a row [P] for each seed; seeds and problems are drawn again, each by itself.
    """
    table = np.stack(changes)
    rng = np.random.default_rng(0)
    num_seeds, num_problems = table.shape
    resampled = [
        table[rng.integers(num_seeds, size=num_seeds)][
            :, rng.integers(num_problems, size=num_problems)
        ].mean()
        for _ in range(RESAMPLES)
    ]
    return float(table.mean()), float(np.quantile(resampled, 0.05))


def changed(change: float | None, bound: float | None) -> tuple[str, str, str]:
    """A change of accuracy, its bound and whether it is non-inferior, in Markdown."""
    if change is None or bound is None:
        return "-", "-", "-"
    return f"{change:+.3f}", f"{bound:+.3f}", "yes" if bound > -MARGIN else "**no**"


HEADER = (
    "variant", "seeds", "accuracy", "change", "bound", "non-inferior", "tokens of an answer",
    "tokens sampled", "seconds",
)  # fmt: skip


def cells(found: Row) -> list[str]:
    """A variant's row under `HEADER`."""
    return [
        found.variant,
        ", ".join(map(str, found.seeds)),
        f"{found.accuracy:.3f}",
        *changed(found.change, found.bound),
        f"{found.response_tokens:.1f}",
        interval(found.tokens),
        interval(found.seconds),
    ]


if __name__ == "__main__":
    raise SystemExit(main())
