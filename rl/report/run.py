"""What a report knows of one run, read from its folder; an unfinished one gives what there is."""

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.evaluate.comparison import Comparison, compare
from rl.evaluate.evaluation import Evaluation
from rl.evaluate.figures import Estimate, Figures, columns, estimate, figures
from rl.evaluate.formulas import bootstrap_draws, resampled_ratio
from rl.evaluate.outcomes import Outcomes
from rl.run.record import RunRecord, read_run
from rl.run.stored_evaluation import read_evaluation

Row = Mapping[str, float]
"""One line of metrics.jsonl; a null is a NaN."""

CAPS_PER_HALVING = 2
NUM_HALVINGS = 5


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """An evaluation after `step` updates, and its figures; `greedy` is None without such a pass."""

    step: int
    evaluation: Evaluation
    figures: Figures
    greedy: Figures | None
    levels: dict[str, Figures]
    curve: dict[int, Estimate]
    """Accuracy within a cap, by cap."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ReportedRun:
    """`before` and `after` are None where there was no such evaluation, `change` without both.

    `path` are (tokens, accuracy) of all evaluations in order.
    """

    name: str
    record: RunRecord
    metrics: Sequence[Row]
    before: Stage | None
    after: Stage | None
    change: Comparison | None
    path: Sequence[tuple[float, float]]

    @property
    def finished(self) -> bool:
        return self.record.summary is not None

    @property
    def steps(self) -> list[Row]:
        """The lines of training steps."""
        return [row for row in self.metrics if "loss" in row]

    @property
    def last_step(self) -> int:
        """Updates that were done."""
        return max((int(row["step"]) for row in self.metrics), default=0)

    @property
    def stages(self) -> list[tuple[str, Stage]]:
        """The evaluations that there are, each under its heading."""
        named = (("before", self.before), ("after", self.after))
        return [(heading, stage) for heading, stage in named if stage is not None]

    def summary(self, key: str) -> Any:
        """An entry of summary.json; None before the end, or where the run did not write it."""
        return (self.record.summary or {}).get(key)


def read_reported(folder: Path, name: str) -> ReportedRun:
    """Raises ValueError when `folder` holds no run, or a file in it is not what a run writes."""
    record = read_run(folder)
    temperature = float(record.config["evaluation"]["temperature"])
    steps = evaluated_steps(folder)
    found = {step: _evaluation(folder, step, temperature) for step in steps}
    later = [step for step in steps if step]
    before = stage(0, found[0]) if 0 in found else None
    after = stage(later[-1], found[later[-1]]) if later else None
    change = None
    if before and after:
        change = compare(after.evaluation.outcomes.sampled, before.evaluation.outcomes.sampled)
    return ReportedRun(
        name=name,
        record=record,
        metrics=read_metrics(folder / "metrics.jsonl"),
        before=before,
        after=after,
        change=change,
        path=[(each.response_tokens, each.accuracy) for each in found.values()],
    )


def evaluated_steps(folder: Path) -> list[int]:
    """Steps of `eval/step_*.parquet`, in order."""
    names = (path.stem.removeprefix("step_") for path in folder.glob("eval/step_*.parquet"))
    return sorted(int(name) for name in names if name.isdecimal())


def stage(step: int, evaluation: Evaluation) -> Stage:
    """The figures of an evaluation, by level and under caps."""
    sampled, greedy = evaluation.outcomes
    return Stage(
        step=step,
        evaluation=evaluation,
        figures=figures(sampled),
        greedy=figures(greedy) if greedy else None,
        levels={level: figures(outcomes) for level, outcomes in sampled.by_level().items()},
        curve=accuracy_curve(sampled, caps_up_to(evaluation.limit)),
    )


def caps_up_to(limit: int) -> list[int]:
    """The limit, and what is left of it after each half halving, down to five halvings."""
    halvings = (index / CAPS_PER_HALVING for index in range(NUM_HALVINGS * CAPS_PER_HALVING + 1))
    return sorted({max(1, round(limit / 2**halving)) for halving in halvings})


def accuracy_curve(outcomes: Outcomes, caps: Sequence[int]) -> dict[int, Estimate]:
    """Accuracy when what is longer than a cap is wrong (DLER, arXiv:2510.15110, section 4.3)."""
    draws = bootstrap_draws(len(outcomes.problems))
    found = {}
    for cap in caps:
        column = columns(outcomes.capped(cap))["accuracy"]
        found[cap] = estimate(column.value, resampled_ratio(*column, draws))
    return found


def read_metrics(path: Path) -> list[Row]:
    """The lines of metrics.jsonl; one that a running training has not ended yet is left out."""
    lines = path.read_text(encoding="utf-8").split("\n")[:-1] if path.is_file() else []
    try:
        rows = [json.loads(line) for line in lines]
        return [
            {name: math.nan if value is None else float(value) for name, value in row.items()}
            for row in rows
        ]
    except (ValueError, TypeError, AttributeError) as error:
        raise ValueError(f"{path} is not what a run writes ({error}); restore the file") from error


def _evaluation(folder: Path, step: int, temperature: float) -> Evaluation:
    try:
        evaluation = read_evaluation(folder, step, temperature)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(
            f"{folder}: the evaluation of step {step} cannot be read ({error}); restore "
            f"eval/step_{step:05d}.parquet, or move it away"
        ) from error
    assert evaluation is not None, "the file was listed"
    return evaluation
