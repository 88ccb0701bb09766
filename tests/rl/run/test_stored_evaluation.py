import asyncio
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import BudgetKind
from data.types import Budget
from rl.evaluate.evaluate import evaluate
from rl.evaluate.evaluation import Evaluation, evaluation_metrics
from rl.run.completions import write_evaluation
from rl.run.stored_evaluation import accuracy_under_cap, read_evaluation
from tests.rl.builders import TableEngine, prompt, verify_text

PROMPTS = [prompt("a", level=2), prompt("b", level=10), prompt("c", level=2)]
ANSWERS = {
    "a": [(2, "4"), (4, "4"), (6, "4")],
    "b": [(3, "4"), (20, "no"), (8, "no")],
    "c": [(5, "no"), (7, "?"), (9, "?")],
}


def evaluated() -> Evaluation:
    engine = TableEngine(ANSWERS)
    return asyncio.run(
        evaluate(engine, PROMPTS, verify_text, name="base", limit=16, samples_per_problem=2)
    )


def test_what_is_read_has_every_figure_of_what_was_written(tmp_path: Path) -> None:
    written = evaluated()
    write_evaluation(tmp_path, 3, written)
    read = read_evaluation(tmp_path, 3, temperature=1.0)
    assert read is not None
    assert evaluation_metrics(read) == evaluation_metrics(written)
    assert read.by_level() == written.by_level()
    assert list(read.by_level()) == ["2", "10"]
    assert (read.num_problems, read.samples_per_problem) == (3, 2)


def test_what_a_prompt_asked_for_is_read_again(tmp_path: Path) -> None:
    asked = Budget(kind=BudgetKind.MAX, amount=30)
    prompts = [replace(PROMPTS[0], budget=asked), PROMPTS[1]]
    written = asyncio.run(
        evaluate(
            TableEngine(ANSWERS), prompts, verify_text, name="b", limit=9, samples_per_problem=1
        )
    )
    write_evaluation(tmp_path, 1, written)
    read = read_evaluation(tmp_path, 1, temperature=1.0)
    assert read is not None
    assert [judged.prompt.budget for judged in read.judged] == [asked, None]


def test_a_step_that_was_not_evaluated_is_none(tmp_path: Path) -> None:
    assert read_evaluation(tmp_path, 3, temperature=1.0) is None


def test_an_answer_beyond_the_cap_is_wrong_and_one_without_a_verdict_is_left_out() -> None:
    tokens = [[2, 4], [3, 16], [5, 7], [1, 1]]
    correct = [[True, True], [True, False], [True, None], [None, None]]
    at = {cap: accuracy_under_cap(tokens, correct, cap).tolist() for cap in (1, 3, 16)}
    assert at[1][:3] == [0.0, 0.0, 0.0]
    assert at[3][:3] == [0.5, 0.5, 0.0]
    assert at[16][:3] == [1.0, 0.5, 1.0]
    assert all(np.isnan(values[3]) for values in at.values())


ROWS = st.lists(st.tuples(st.integers(1, 50), st.booleans()), min_size=1, max_size=4)


@given(st.lists(ROWS, min_size=1, max_size=5))
def test_accuracy_rises_with_the_cap_to_the_accuracy_without_one(
    problems: list[list[tuple[int, bool]]],
) -> None:
    tokens = [[n for n, _ in row] for row in problems]
    correct = [[ok for _, ok in row] for row in problems]
    curve = [accuracy_under_cap(tokens, correct, cap).mean() for cap in range(0, 51, 10)]
    assert curve == sorted(curve)
    assert curve[0] == 0.0
    assert curve[-1] == pytest.approx(np.mean([np.mean(row) for row in correct]))
