import asyncio
from pathlib import Path

import pyarrow.parquet as pq

from rl.evaluate.evaluate import evaluate
from rl.run.completions import write_completions, write_evaluation
from tests.rl.builders import (
    ADVANTAGES,
    GROUPS,
    SCORES,
    VERDICTS,
    TableEngine,
    prompt,
    verify_text,
)


def test_completions_are_written_with_everything_that_judged_them(tmp_path: Path) -> None:
    write_completions(tmp_path, 7, GROUPS, VERDICTS, SCORES, ADVANTAGES, max_rows=3)
    rows = pq.read_table(tmp_path / "completions" / "step_00007.parquet").to_pylist()
    assert [row["id"] for row in rows] == ["a0", "a1", "b0"]
    assert rows[1] == {
        "step": 7,
        "id": "a1",
        "prompt_id": "a",
        "prompt": "question a",
        "completion": "so 4",
        "answer": "4",
        "tokens": 16,
        "finish": "limit",
        "limit": 16,
        "budget": None,
        "budget_kind": None,
        "weight_version_first": 1,
        "weight_version_last": 3,
        "correct": False,
        "reason": "no answer found",
        "reward": -0.5,
        "advantage": -1.0,
        "parts/correct": 0.0,
        "parts/length": -0.5,
    }


def test_no_file_when_no_completions_are_wanted(tmp_path: Path) -> None:
    write_completions(tmp_path, 7, GROUPS, VERDICTS, SCORES, ADVANTAGES, max_rows=0)
    assert list(tmp_path.iterdir()) == []


def test_every_evaluated_completion_is_written_with_its_mode(tmp_path: Path) -> None:
    engine = TableEngine(
        {"a": [(2, "4"), (3, "no"), (5, "4")], "b": [(1, "?"), (1, "4"), (1, "4")]}
    )
    prompts = [prompt("a", level=2), prompt("b")]
    evaluation = asyncio.run(
        evaluate(engine, prompts, verify_text, name="base", limit=9, samples_per_problem=2)
    )
    write_evaluation(tmp_path, 0, evaluation)
    rows = pq.read_table(tmp_path / "eval" / "step_00000.parquet").to_pylist()
    assert [(row["prompt_id"], row["mode"], row["tokens"], row["correct"]) for row in rows] == [
        ("a", "sampled", 2, True),
        ("a", "sampled", 3, False),
        ("b", "sampled", 1, None),
        ("b", "sampled", 1, True),
        ("a", "greedy", 5, True),
        ("b", "greedy", 1, True),
    ]
    assert [row["level"] for row in rows] == ["2", "2", None, None, "2", None]
    assert rows[2]["reason"] == "timeout"
