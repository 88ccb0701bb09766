import asyncio
from pathlib import Path

import pytest

from data.types import Completion, Prompt, Verdict
from rl.evaluate.evaluate import evaluate
from rl.report.failures import (
    MOST_NAMES,
    Failure,
    evaluation_failures,
    failures,
    training_failures,
)
from rl.run.history import append_history
from tests.rl.builders import TableEngine, prompt, verify_text
from tests.rl.report.reported import reported


def test_failures_are_counted_by_name_in_training_and_in_both_evaluations(tmp_path: Path) -> None:
    found = failures(reported(tmp_path))
    assert found == [
        Failure("training", "dropped: every reward of the group ties", 2, 5),
        Failure("training", "cut off at the limit", 1, 5),
        Failure("training", "lost with its engine, sampled again", 1, 5),
        Failure("evaluation before", "wrong, cut off at the limit", 1, 4),
    ]


def test_a_run_without_a_history_has_no_failures(tmp_path: Path) -> None:
    assert training_failures(tmp_path / "history.jsonl") == []


def test_a_torn_last_line_is_left_out_and_another_one_is_named(tmp_path: Path) -> None:
    history = tmp_path / "history.jsonl"
    line = {"id": "0/a/0", "prompt": "a", "step": 0, "versions": [0, 0], "finish": "limit"}
    append_history(tmp_path, [{**line, "tokens": 9, "fate": "trained"}])
    whole = history.read_bytes()
    history.write_bytes(whole + whole[:20])
    assert training_failures(history) == [Failure("training", "cut off at the limit", 1, 1)]
    history.write_bytes(whole + b"{}\n")
    with pytest.raises(ValueError, match=r"history\.jsonl, line 2, is not what a run writes"):
        training_failures(history)


def test_many_kinds_of_failure_are_added_up() -> None:
    """Problem i is answered wrongly by one of its samples, for a reason of its own."""

    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(correct=False, reason=completion.text)

    prompts = [prompt(f"p{index}") for index in range(20)]
    engine = TableEngine({each.id: [(2, f"not {each.id}")] * 3 for each in prompts})
    evaluation = asyncio.run(
        evaluate(engine, prompts, verify, name="x", limit=16, samples_per_problem=2)
    )
    *named, other = evaluation_failures("evaluation", evaluation)
    assert len(named) == MOST_NAMES
    assert named[0] == Failure("evaluation", "wrong: not p0", 2, 40)
    assert other == Failure("evaluation", "other", 2 * (20 - MOST_NAMES), 40)


def test_an_answer_that_nobody_could_grade_is_not_called_wrong() -> None:
    evaluation = asyncio.run(
        evaluate(
            TableEngine({"a": [(2, "?"), (2, "4"), (2, "4")]}),
            [prompt("a")],
            verify_text,
            name="x",
            limit=16,
            samples_per_problem=2,
        )
    )
    (found,) = evaluation_failures("evaluation", evaluation)
    assert found == Failure("evaluation", "no verdict, the grader failed: timeout", 1, 2)
