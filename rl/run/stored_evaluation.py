"""An evaluation read again from `eval/step_*.parquet`, and the accuracy it leaves under a cap.

The file holds texts and counts, no token ids: what is read has every figure of the evaluation that
was written, and empty token arrays.
"""

from collections.abc import Sequence
from itertools import groupby
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from data.config import BudgetKind
from data.types import Budget, Completion, Finish, Prompt, Span, Verdict
from rl.evaluate.evaluation import Evaluation, Judged
from rl.evaluate.formulas import Floats


def read_evaluation(run: Path, step: int, temperature: float) -> Evaluation | None:
    """The evaluation of `step` in a run's folder; None when there was none.

    `temperature` is that of the sampled completions (`evaluation.temperature` of the recipe).
    """
    path = run / "eval" / f"step_{step:05d}.parquet"
    if not path.is_file():
        return None
    rows = pq.read_table(path).to_pylist()
    sampled = [row for row in rows if row["mode"] == "sampled"]
    return Evaluation(
        temperature=temperature,
        sampled=tuple(
            tuple(_judged(row) for row in of_problem)
            for _, of_problem in groupby(sampled, _problem)
        ),
        greedy=tuple(_judged(row) for row in rows if row["mode"] == "greedy"),
    )


def accuracy_under_cap(
    tokens: Sequence[Sequence[int]], correct: Sequence[Sequence[bool | None]], cap: int
) -> Floats:
    """mean_k [c = 1 and n <= cap] of each problem [P]; the mean over problems is the accuracy.

    DLER (arXiv:2510.15110), section 4.3: what is longer than the cap counts as wrong. `tokens` and
    `correct` are [P][k]; completions without a verdict are left out, a problem without any is NaN.
    """
    return np.array(
        [
            np.mean(graded) if graded else np.nan
            for row, verdicts in zip(tokens, correct, strict=True)
            for graded in [
                [ok and n <= cap for n, ok in zip(row, verdicts, strict=True) if ok is not None]
            ]
        ],
        dtype=float,
    )


def _problem(row: dict[str, Any]) -> str:
    """`eval/<name>/<problem>` of the completion's id `eval/<name>/<problem>/<sample>`."""
    return str(row["id"]).rpartition("/")[0]


def _judged(row: dict[str, Any]) -> Judged:
    span = Span(start=0, stop=row["tokens"], weight_version=row["weight_version_first"])
    return Judged(
        prompt=Prompt(
            id=row["prompt_id"],
            messages=({"role": "user", "content": row["prompt"]},),
            token_ids=np.zeros(0, np.int32),
            answer=row["answer"],
            budget=_budget(row),
            extra={} if row["level"] is None else {"level": _level(row["level"])},
        ),
        completion=Completion(
            id=row["id"],
            text=row["completion"],
            token_ids=np.zeros(0, np.int32),
            logprobs=np.zeros(0, np.float32),
            limit=row["limit"],
            finish=Finish(row["finish"]),
            spans=(span,),
        ),
        verdict=Verdict(correct=row["correct"], reason=row["reason"] or ""),
    )


def _budget(row: dict[str, Any]) -> Budget | None:
    if row["budget"] is None:
        return None
    return Budget(kind=BudgetKind(row["budget_kind"]), amount=row["budget"])


def _level(text: str) -> int | str:
    """Levels are written as text; numbers come back as numbers, so that 10 follows 2."""
    return int(text) if text.isdecimal() else text
