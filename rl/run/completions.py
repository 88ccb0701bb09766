"""What the model wrote, as parquet: some of each training step, all of each evaluation.

One row per completion. `parts/<name>` holds one part of the reward, `weight_version_first` and
`_last` the oldest and newest weights that sampled a token. Raw messages, no template; `budget` is
the number that a phrase after them asked for, `budget_kind` of what.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.types import Completion, Group, Prompt, Score, Verdict
from rl.evaluate.evaluation import Evaluation, Judged

_COMPLETION = [
    ("id", pa.string()),
    ("prompt_id", pa.string()),
    ("prompt", pa.string()),
    ("completion", pa.string()),
    ("answer", pa.string()),
    ("tokens", pa.int32()),
    ("finish", pa.string()),
    ("limit", pa.int32()),
    ("budget", pa.int32()),
    ("budget_kind", pa.string()),
    ("weight_version_first", pa.int32()),
    ("weight_version_last", pa.int32()),
    ("correct", pa.bool_()),
    ("reason", pa.string()),
]
_TRAINED = [
    ("step", pa.int32()),
    *_COMPLETION,
    ("reward", pa.float64()),
    ("advantage", pa.float64()),
]
_EVALUATED = [("step", pa.int32()), ("mode", pa.string()), ("level", pa.string()), *_COMPLETION]


def write_completions(
    folder: Path,
    step: int,
    groups: Sequence[Group],
    verdicts: Sequence[Sequence[Verdict]],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float]],
    max_rows: int,
) -> None:
    """Writes the first `max_rows` completions of the update to `completions/step_*.parquet`.

    All sequences are [P][G]. 0 rows write no file.
    """
    rows = trained_rows(step, groups, verdicts, scores, advantages)
    parts = sorted({name for row in rows for name in row if name.startswith("parts/")})
    if max_rows:
        schema = pa.schema([*_TRAINED, *((name, pa.float64()) for name in parts)])
        (folder / "completions").mkdir(exist_ok=True)
        _write(_step_file(folder / "completions", step), rows[:max_rows], schema)


def trained_rows(
    step: int,
    groups: Sequence[Group],
    verdicts: Sequence[Sequence[Verdict]],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float]],
) -> list[dict[str, Any]]:
    """One row per completion of the update, group after group; all sequences are [P][G]."""
    return [
        {
            "step": step,
            **_completion_row(group.prompt, completion, verdict),
            "reward": score.total,
            "advantage": advantage,
            **{f"parts/{name}": value for name, value in score.parts.items()},
        }
        for group, *judged in zip(groups, verdicts, scores, advantages, strict=True)
        for completion, verdict, score, advantage in zip(group.completions, *judged, strict=True)
    ]


def shown_rows(step: int, evaluation: Evaluation, max_rows: int) -> list[dict[str, Any]]:
    """The first sample of the first `max_rows` problems: the same problems at every evaluation."""
    rows = evaluation.sampled[:max_rows]
    return [_evaluated_row(step, "sampled", samples[0]) for samples in rows]


def write_evaluation(folder: Path, step: int, evaluation: Evaluation) -> None:
    """Writes every evaluated completion to `eval/step_*.parquet`."""
    (folder / "eval").mkdir(exist_ok=True)
    write_evaluated(_step_file(folder / "eval", step), step, evaluation)


def write_evaluated(path: Path, step: int, evaluation: Evaluation) -> None:
    """Writes every evaluated completion to `path`; `mode` is sampled or greedy."""
    rows = [_evaluated_row(step, "sampled", judged) for judged in evaluation.judged]
    rows += [_evaluated_row(step, "greedy", judged) for judged in evaluation.greedy]
    _write(path, rows, pa.schema(_EVALUATED))


def _evaluated_row(step: int, mode: str, judged: Judged) -> dict[str, Any]:
    level = judged.prompt.extra.get("level")
    return {
        "step": step,
        "mode": mode,
        "level": None if level is None else str(level),
        **_completion_row(judged.prompt, judged.completion, judged.verdict),
    }


def _completion_row(prompt: Prompt, completion: Completion, verdict: Verdict) -> dict[str, Any]:
    first, last = completion.weight_versions
    return {
        "id": completion.id,
        "prompt_id": prompt.id,
        "prompt": _readable(prompt),
        "completion": completion.text,
        "answer": prompt.answer,
        "tokens": completion.num_tokens,
        "finish": completion.finish.value,
        "limit": completion.limit,
        "budget": prompt.budget.amount if prompt.budget else None,
        "budget_kind": prompt.budget.kind.value if prompt.budget else None,
        "weight_version_first": first,
        "weight_version_last": last,
        "correct": verdict.correct,
        "reason": verdict.reason,
    }


def _readable(prompt: Prompt) -> str:
    """The question alone when there is one message, else every message after its role."""
    if len(prompt.messages) == 1:
        return prompt.messages[0]["content"]
    return "\n\n".join(f"{m['role']}: {m['content']}" for m in prompt.messages)


def _step_file(folder: Path, step: int) -> Path:
    return folder / f"step_{step:05d}.parquet"


def _write(path: Path, rows: list[dict[str, Any]], schema: pa.Schema) -> None:
    pq.write_table(pa.Table.from_pylist(rows, schema=schema), path, compression="zstd")
