"""What every benchmark shares: two contenders taken in turn in one run, and the ratio of the two.

A benchmark is a module with `run(**options) -> Result` and one line in `rl.cli.bench.BENCHES`.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from math import exp, log, sqrt
from statistics import fmean, stdev
from typing import Any, NamedTuple

T_975 = (
    12.706, 4.303, 3.182, 2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201, 2.179, 2.160,
    2.145, 2.131, 2.120, 2.110, 2.101, 2.093, 2.086, 2.080, 2.074, 2.069, 2.064, 2.060, 2.056,
    2.052, 2.048, 2.045, 2.042,
)  # fmt: skip
"""Student's t at 97.5 % for 1 to 30 degrees of freedom."""
NORMAL_975 = 1.960


class Ratio(NamedTuple):
    """Ours over theirs, with the ends of its 95 % interval."""

    ratio: float
    low: float
    high: float


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """The last line of a benchmark; `setting` is what was run, `extra` what else was measured."""

    name: str
    against: str
    ratio: float
    low: float
    high: float
    setting: dict[str, Any]
    extra: dict[str, Any] = field(default_factory=dict)


def alternate(
    ours: Callable[[int], float], theirs: Callable[[int], float], rounds: int
) -> tuple[list[float], list[float]]:
    """The figures of `rounds` rounds; whoever went second in one goes first in the next.

    Each contender is given the number of the round. Round 0 warms up and is not counted, so that
    what else the machine does, and how warm it is, falls on both alike.
    """
    figures: tuple[list[float], list[float]] = [], []
    for number in range(rounds + 1):
        turns = [(0, ours), (1, theirs)]
        for side, contender in turns if number % 2 else reversed(turns):
            figure = contender(number)
            if number:
                figures[side].append(figure)
    return figures


def paired_ratio(ours: Sequence[float], theirs: Sequence[float]) -> Ratio:
    """exp(mean d +- t s_d / sqrt(n)) of d_i = log(ours_i / theirs_i): Student's paired interval.

    The ratio is the geometric mean over rounds [n], so that swapping the contenders inverts it. The
    interval holds for log-ratios that are roughly normal. Raises ValueError below two rounds.
    """
    if len(ours) < 2:
        raise ValueError(f"{len(ours)} round(s) give no interval; take two or more")
    logs = [log(a / b) for a, b in zip(ours, theirs, strict=True)]
    degrees = len(logs) - 1
    quantile = T_975[degrees - 1] if degrees <= len(T_975) else NORMAL_975
    half = quantile * stdev(logs) / sqrt(len(logs))
    middle = fmean(logs)
    return Ratio(exp(middle), exp(middle - half), exp(middle + half))
