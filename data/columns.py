"""Where a dataset keeps questions, answers and sources, in the columns of whoever wrote it.

In each line: the question; the answer; the source.

TRL         prompt (text or messages); answer, solution, ground_truth
            [trl/data_utils.py, trl/rewards/accuracy_rewards.py]
verl        prompt (messages); reward_model.ground_truth; data_source
            [examples/data_preprocess/gsm8k.py]
OpenRLHF    input or prompt (text or messages); label; datasource
            [openrlhf/datasets/prompts_dataset.py]
verifiers   prompt (messages) or question (text); answer, or in info; task
            [verifiers/envs/environment.py]
the Hub     problem, question; answer, solution; source [DeepScaleR, GSM8K]

The more specific name wins; a dot enters a dictionary, also one that is written as JSON text.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.rows import listed

Row = Mapping[str, Any]

PROMPT_COLUMNS = ("prompt", "question", "problem", "input")
ANSWER_COLUMNS = (
    "reward_model.ground_truth",
    "answer",
    "label",
    "ground_truth",
    "solution",
    "info.answer",
    "info.ground_truth",
)
SOURCE_COLUMNS = ("data_source", "datasource", "source", "task")
HOLDERS = ("reward_model", "info")
"""Columns that some frameworks fill with dictionaries, or with JSON text of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where a dataset keeps its questions and its answers."""

    prompt: str
    answer: str


def find_columns(
    rows: Sequence[Row], path: str, prompt_column: str = "", answer_column: str = ""
) -> Columns:
    """The configured columns, or the first known ones; a ValueError names what is there."""
    present = {name: None for row in rows for name in _names(row)}
    prompt = _choose(prompt_column, PROMPT_COLUMNS, present)
    answer = _choose(answer_column, ANSWER_COLUMNS, present)
    problems = []
    if prompt is None:
        wanted = prompt_column or " or ".join(PROMPT_COLUMNS)
        problems.append(f"no column {wanted}: set data.prompt_column=NAME")
    if answer is None:
        wanted = answer_column or " or ".join(ANSWER_COLUMNS)
        problems.append(f"no answers in a column {wanted}: set data.answer_column=NAME")
    if prompt is None or answer is None:
        raise ValueError(
            listed(f"data path {path} has the columns {_shown(present)}, but", problems)
        )
    return Columns(prompt=prompt, answer=answer)


def value_at(row: Row, column: str) -> object:
    """The value of a column, None where the row lacks it."""
    outer, _, inner = column.partition(".")
    if column in row or not inner:
        return row.get(column)
    return (dictionary(row.get(outer)) or {}).get(inner)


def source_of(row: Row, default: str) -> str:
    """Where the row says that it comes from; text alone counts."""
    given = (row.get(name) for name in SOURCE_COLUMNS)
    return next((value for value in given if isinstance(value, str) and value), default)


def dictionary(value: object) -> dict[str, Any] | None:
    """A dictionary, given as such or as JSON text."""
    if isinstance(value, str) and value.lstrip().startswith("{"):
        try:
            value = json.loads(value)
        except (ValueError, RecursionError):
            return None
    return value if isinstance(value, dict) else None


def _names(row: Row) -> list[str]:
    """Top-level names, and `reward_model.ground_truth` for what a dictionary holds."""
    nested = [
        f"{name}.{key}"
        for name, value in row.items()
        if isinstance(value, dict) or name in HOLDERS
        for key in dictionary(value) or {}
    ]
    return [*row, *nested]


def _choose(configured: str, known: Sequence[str], present: dict[str, None]) -> str | None:
    candidates = [configured] if configured else known
    return next((name for name in candidates if name in present), None)


def _shown(present: dict[str, None], most: int = 30) -> str:
    names = [repr(name)[1:-1][:40] for name in present]
    return ", ".join(names[:most]) + (", ..." if len(names) > most else "")
