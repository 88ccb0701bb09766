"""What votes and budgets add to results.json, recomputed from what lies beside it."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq
import pytest

from data.config import BudgetKind
from data.types import Budget
from rewards.agreement import numbered_answers
from rewards.verifiers.exact import ExactConfig
from rl.evaluate.ballots import ANSWERS, ballots, write_answers
from rl.evaluate.curves import Curve, Point
from rl.evaluate.evaluate import evaluate
from rl.evaluate.evaluation import Evaluation
from rl.evaluate.instructed import bands
from rl.evaluate.results import COMPLETIONS, Further, Measured, results, write_results
from rl.evaluate.voting import Rule
from rl.run.completions import write_evaluated
from tests.rl.builders import TableEngine, prompt, verify_text
from tests.rl.evaluate.recompute import differences, recompute
from tests.rl.evaluate.samples import LIMIT

SAMPLES = 5
RULES = (Rule(5, 5), Rule(1, 3), Rule(3, 4))
KINDS = (BudgetKind.EXACT, BudgetKind.MAX)
WORDS = ("4", "4", "5", "6", " ", "?")


def answered(seed: int, budgets: list[Budget | None]) -> Evaluation:
    """Random answers of 2 to 18 tokens; ` ` is none, `?` has no verdict, 16 and more are cut."""
    random = np.random.default_rng(seed)
    answers = {
        f"p{row}": [
            (int(random.integers(2, LIMIT + 3)), str(random.choice(WORDS))) for _ in range(SAMPLES)
        ]
        for row in range(len(budgets))
    }
    prompts = [replace(prompt(f"p{row}", 1), budget=budget) for row, budget in enumerate(budgets)]
    return asyncio.run(
        evaluate(
            TableEngine(answers), prompts, verify_text, name="x", limit=LIMIT,
            samples_per_problem=SAMPLES, greedy=False,
        )
    )  # fmt: skip


def evaluated(folder: Path, num_problems: int = 24) -> dict[str, Any]:
    """An evaluation with votes, drawn budgets of two kinds, and a curve, as it lies on the disk."""
    drawn = np.random.default_rng(3).integers(4, 12, size=num_problems)
    budgets: list[Budget | None] = [
        Budget(kind=KINDS[row % 2], amount=int(amount)) if row % 3 else None
        for row, amount in enumerate(drawn)
    ]
    evaluation = answered(1, budgets)
    samples = [(row[0].prompt, [each.completion for each in row]) for row in evaluation.sampled]
    numbers = asyncio.run(numbered_answers(samples, ExactConfig(), verify_text))
    write_evaluated(folder / COMPLETIONS, 0, evaluation)
    write_answers(folder / ANSWERS, evaluation, numbers)
    (folder / "curves").mkdir()
    points = []
    for percent in (25, 50, 100):
        effort = Budget(kind=BudgetKind.EFFORT, amount=percent)
        at = answered(percent, [effort] * num_problems)
        write_evaluated(folder / "curves" / f"effort_{percent}.parquet", 0, at)
        points.append(Point(amount=percent, trained=percent > 25, outcomes=at.outcomes.sampled))
    outcomes = evaluation.outcomes
    further = Further(
        ballots=ballots(evaluation, numbers),
        rules=RULES,
        bands=bands(outcomes.sampled, budgets, {BudgetKind.EXACT: [4, 6]}),
        curves=[Curve(kind=BudgetKind.EFFORT, points=tuple(points))],
    )
    measured = Measured(model="x", settings={}, modes=outcomes)
    content = results(measured, {}, [LIMIT], None, further)
    kept: dict[str, Any] = json.loads(write_results(folder, content).read_text())
    return kept


def test_votes_budgets_and_curves_are_what_an_independent_script_makes_of_the_files(
    tmp_path: Path,
) -> None:
    kept = evaluated(tmp_path)
    assert [row["rule"] for row in kept["decoding"]] == [
        "mean@1", "majority@5", "short-1@3", "short-3@4",
    ]  # fmt: skip
    assert [row["subsets"] for row in kept["decoding"]] == [5, 1, 10, 5]
    found = recompute(tmp_path, None, kept)
    assert differences(found, kept) == []
    kept["decoding"][2]["depth_tokens"]["high"] += 1e-6
    kept["curves"][0]["points"][1]["accuracy"]["value"] += 1e-6
    assert len(differences(found, kept)) == 2


def test_the_row_of_one_sample_is_the_evaluation_itself(tmp_path: Path) -> None:
    kept = evaluated(tmp_path)
    alone = kept["decoding"][0]
    assert alone["accuracy"]["value"] == pytest.approx(kept["sampled"]["accuracy"]["value"])
    tokens = kept["sampled"]["response_tokens"]["value"]
    assert alone["total_tokens"]["value"] == pytest.approx(tokens)
    assert alone["accuracy_gain"] == {"value": 0.0, "low": 0.0, "high": 0.0}


def test_budgets_are_reported_by_kind_and_amount(tmp_path: Path) -> None:
    kept = evaluated(tmp_path)["instructed"]
    wholes = [band for band in kept if band["kind"] == "exact"]
    assert sum(band["num_problems"] for band in wholes) == 2 * wholes[0]["num_problems"]
    assert 0 < wholes[0]["never_trained"] < wholes[0]["num_problems"]
    assert all(band["never_trained"] == band["num_problems"] for band in kept if band not in wholes)
    assert {"budget_error", "budget_bias", "within_budget"} <= kept[0].keys()


def test_every_sample_has_its_answer_beside_the_completions(tmp_path: Path) -> None:
    evaluated(tmp_path)
    answers = pq.read_table(tmp_path / ANSWERS).to_pylist()
    completions = pq.read_table(tmp_path / COMPLETIONS).to_pylist()
    assert [row["id"] for row in answers] == [row["id"] for row in completions]
    for answer, completion in zip(answers, completions, strict=True):
        none = completion["finish"] != "stop" or not completion["completion"].strip()
        assert (answer["answer_number"] is None) == none
