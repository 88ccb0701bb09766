"""What became of every completion of an evaluation, as arrays: all that its figures need.

Made from judged completions, or read again from the parquet file that keeps them.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pyarrow.parquet as pq
from numpy.typing import NDArray

from data.types import Finish
from rl.evaluate.formulas import Floats, correct_within

COLUMNS = ("mode", "prompt_id", "level", "correct", "tokens", "finish")
"""Columns of a completions file that are read here."""


class Outcome(NamedTuple):
    """One completion; `correct` is None when the grader failed."""

    problem: str
    level: str | None
    correct: bool | None
    tokens: int
    truncated: bool


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcomes:
    """k completions of each of P problems, all of one mode (sampled or greedy).

    `correct` [P, k] is 1, 0, or NaN where the grader failed; `tokens` and `truncated` are [P, k].
    """

    problems: tuple[str, ...]
    levels: tuple[str | None, ...]
    correct: Floats
    tokens: Floats
    truncated: NDArray[np.bool_]

    @property
    def samples_per_problem(self) -> int:
        return int(self.correct.shape[1])

    @property
    def graded(self) -> NDArray[np.bool_]:
        """Problems [P] with a verdict on at least one completion."""
        graded: NDArray[np.bool_] = np.isfinite(self.correct).sum(axis=1) > 0
        return graded

    @property
    def accuracies(self) -> Floats:
        """Share of right ones among the graded completions of each problem [P], else NaN."""
        graded = (~np.isnan(self.correct)).sum(axis=1)
        shares: Floats = np.nansum(self.correct, axis=1) / np.where(graded, graded, np.nan)
        return shares

    def only(self, rows: Sequence[int]) -> "Outcomes":
        """The problems in `rows`, in that order."""
        chosen = list(rows)
        return Outcomes(
            problems=tuple(self.problems[row] for row in chosen),
            levels=tuple(self.levels[row] for row in chosen),
            correct=self.correct[chosen],
            tokens=self.tokens[chosen],
            truncated=self.truncated[chosen],
        )

    def capped(self, cap: int) -> "Outcomes":
        """As if generation had stopped after `cap` tokens."""
        return replace(
            self,
            correct=correct_within(self.correct, self.tokens, cap),
            tokens=np.minimum(self.tokens, cap),
            truncated=self.truncated | (self.tokens > cap),
        )

    def by_level(self) -> dict[str, "Outcomes"]:
        """The problems of each difficulty level, in order; empty when none has a level."""
        rows: dict[str, list[int]] = {}
        for row, level in enumerate(self.levels):
            if level is not None:
                rows.setdefault(level, []).append(row)
        return {level: self.only(rows[level]) for level in sorted(rows, key=_level_order)}


class Modes(NamedTuple):
    """The outcomes of one evaluation; `greedy` is None when it was not asked for."""

    sampled: Outcomes
    greedy: Outcomes | None


def collect(outcomes: Iterable[Outcome]) -> Outcomes:
    """Outcomes by problem, in the order in which the problems appear.

    Raises ValueError when there are none, or problems differ in their number of completions.
    """
    rows: dict[str, list[Outcome]] = {}
    for outcome in outcomes:
        rows.setdefault(outcome.problem, []).append(outcome)
    if not rows:
        raise ValueError("there are no completions")
    counts = sorted({len(row) for row in rows.values()})
    if len(counts) > 1:
        raise ValueError(
            f"an evaluation has as many completions of one problem as of any other, not {counts}"
        )
    return Outcomes(
        problems=tuple(rows),
        levels=tuple(row[0].level for row in rows.values()),
        correct=np.array([[_number(each.correct) for each in row] for row in rows.values()]),
        tokens=np.array([[float(each.tokens) for each in row] for row in rows.values()]),
        truncated=np.array([[each.truncated for each in row] for row in rows.values()]),
    )


def read_outcomes(completions: Path) -> Modes:
    """The outcomes that a completions file of an evaluation holds.

    Raises ValueError when the file is missing, is no such file, or lacks completions.
    """
    try:
        rows = pq.read_table(completions, columns=list(COLUMNS)).to_pylist()
        sampled = collect(_outcome(row) for row in rows if row["mode"] == "sampled")
        greedy = [_outcome(row) for row in rows if row["mode"] == "greedy"]
        return Modes(sampled, collect(greedy) if greedy else None)
    except (OSError, ValueError, KeyError) as error:
        raise ValueError(
            f"{completions} holds no evaluated completions ({error}); give the results.json of "
            "`laconic eval` with its completions.parquet beside it"
        ) from error


def _outcome(row: dict[str, object]) -> Outcome:
    level, correct, tokens = row["level"], row["correct"], row["tokens"]
    assert isinstance(tokens, int), "the column is int32"
    return Outcome(
        problem=str(row["prompt_id"]),
        level=None if level is None else str(level),
        correct=None if correct is None else bool(correct),
        tokens=tokens,
        truncated=row["finish"] == Finish.LIMIT.value,
    )


def _number(correct: bool | None) -> float:
    return float("nan") if correct is None else float(correct)


def _level_order(level: str) -> tuple[float, str]:
    """Numbers in their order, then names in theirs."""
    try:
        return float(level), ""
    except ValueError:
        return float("inf"), level
