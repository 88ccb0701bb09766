"""The training as curves: what to look at first when a run went wrong, its alarms, its seconds."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import isfinite, nan
from statistics import mean

from rl.report.run import Row
from rl.run.guards import GUARDS
from rl.run.metrics import METRICS

Curve = list[tuple[float, float]]
"""(step, value); steps without a finite value are left out."""

STRIP = (
    "completions/mean_length",
    "accuracy",
    "reward",
    "entropy",
    "grad_norm",
    "clip_ratio/region_mean",
    "completions/clipped_ratio",
    "frac_reward_zero_std",
    "probe/max_logprob_gap",
    "limit/mean",
    "kl",
    "staleness/max",
)
"""Metrics of the health strip; those that a run did not log are left out."""

PARTS = ("time/rollout", "time/score", "time/learn", "time/sync", "time/probe")
"""Parts of a step; what they leave of `step_time` is the rest."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Series:
    """One metric of the strip over the steps."""

    name: str
    meaning: str
    unit: str
    curve: Curve

    @property
    def ends(self) -> tuple[float, float]:
        """First and last value."""
        return self.curve[0][1], self.curve[-1][1]

    @property
    def peak(self) -> float | None:
        """The largest value, where it is neither the first nor the last."""
        largest = max(value for _, value in self.curve)
        return largest if largest > max(self.ends) else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Alarm:
    """A guard that rang, with the steps at which it did."""

    guard: str
    steps: list[int]
    cause: str
    cure: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Spent:
    """Seconds of the training steps: by part in each step, and all of it by name."""

    steps: list[int]
    parts: dict[str, list[float]]
    totals: dict[str, float]
    evaluation: float
    wall: float | None
    """From process start to the summary; None before the end."""


def strip(steps: Sequence[Row]) -> list[Series]:
    """The health strip of the training steps."""
    found = []
    for name in STRIP:
        curve = [(row["step"], row[name]) for row in steps if isfinite(row.get(name, nan))]
        if curve:
            metric = METRICS[name]
            found.append(Series(name=name, meaning=metric.meaning, unit=metric.unit, curve=curve))
    return found


def alarms(steps: Sequence[Row]) -> list[Alarm]:
    """The guards that rang, in the order of their first alarm."""
    rung = {
        name: [int(row["step"]) for row in steps if row.get(f"guards/{name}", 0) > 0]
        for name in GUARDS
    }
    return sorted(
        (
            Alarm(guard=name, steps=at, cause=GUARDS[name].cause, cure=GUARDS[name].cure)
            for name, at in rung.items()
            if at
        ),
        key=lambda alarm: alarm.steps[0],
    )


def spent(metrics: Sequence[Row], wall: float | None) -> Spent:
    """Where the seconds went, in the parts of the steps and beside them."""
    timed = [row for row in metrics if "step_time" in row]
    parts = {
        name.removeprefix("time/"): [_seconds(row, name) for row in timed]
        for name in PARTS
        if any(name in row for row in timed)
    }
    sums = [sum(values) for values in zip(*parts.values(), strict=True)] or [0.0] * len(timed)
    rest = [max(0.0, row["step_time"] - known) for row, known in zip(timed, sums, strict=True)]
    parts["rest"] = rest
    return Spent(
        steps=[int(row["step"]) for row in timed],
        parts=parts,
        totals={name: sum(values) for name, values in parts.items()},
        evaluation=sum(_seconds(row, "time/evaluate") for row in metrics),
        wall=wall,
    )


def bucketed(values: Sequence[float], at_most: int) -> list[float]:
    """Means of equally many neighbours each."""
    size = -(-len(values) // at_most) if values else 1
    return [mean(values[start : start + size]) for start in range(0, len(values), size)]


def _seconds(row: Row, name: str) -> float:
    value = row.get(name, 0.0)
    return value if isfinite(value) else 0.0
