"""The prompts of a run: as many as the recipe says, each asking for what the recipe says."""

from pathlib import Path
from typing import Any

import pytest

from data.budgets import EffortBudgetConfig, ExactBudgetConfig, NoBudgetConfig
from data.config import BudgetKind, DataConfig, ModelConfig
from data.types import Budget
from rl.cli.compose import compose
from rl.cli.inputs import read_held_out, read_inputs
from rl.cli.machine import Machine
from rl.config import EvaluationConfig, RunConfig
from rollout.config import VllmConfig

CPU = Machine(num_cores=2, num_gpus=0)
RECIPES = Path(__file__).resolve().parents[3] / "recipes"


def config(**sections: Any) -> RunConfig:
    parts: dict[str, Any] = {
        "model": ModelConfig(path="lab:short", dtype="float32"),
        "data": DataConfig(path="lab:short", eval_path="lab:short"),
        "budget": NoBudgetConfig(),
        "rollout": VllmConfig(max_prompt_tokens=256),
    }
    return RunConfig(**parts | sections)


@pytest.mark.parametrize("name", ["lcpo_exact", "lcpo_max"])
def test_the_labs_held_out_prompts_ask_for_what_is_never_trained_on(name: str) -> None:
    budget = compose(RECIPES / "lab" / f"{name}.yaml", [], CPU).config.budget
    trained, evaluated = set(budget.amounts(held_out=False)), set(budget.amounts(held_out=True))
    assert evaluated and trained.isdisjoint(evaluated)
    assert min(trained) < min(evaluated) and max(evaluated) < max(trained)


def test_only_the_first_training_prompts_are_used_when_the_recipe_says_so() -> None:
    every = read_inputs(config(evaluation=EvaluationConfig(num_problems=9)))
    few = read_inputs(config(data=DataConfig(path="lab:short", num_prompts=5)))
    assert len(every.training) == 4000
    assert len(every.held_out) == 9
    assert [p.id for p in few.training] == [p.id for p in every.training[:5]]


def test_training_and_held_out_prompts_ask_for_what_the_recipe_says() -> None:
    asking = ExactBudgetConfig(
        min_tokens=40, max_tokens=60, step_tokens=20, eval_min_tokens=50, eval_max_tokens=50
    )
    run = config(budget=asking, evaluation=EvaluationConfig(num_problems=3))
    inputs = read_inputs(run)
    assert {p.budget.amount for p in inputs.training if p.budget} == {40, 60}
    assert [p.budget for p in inputs.held_out] == [Budget(kind=BudgetKind.EXACT, amount=50)] * 3
    assert [p.token_ids.tolist() for p in read_held_out(run)] == [
        p.token_ids.tolist() for p in inputs.held_out
    ]


def test_held_out_prompts_are_as_they_are_where_the_recipe_asks_training_only() -> None:
    run = config(budget=EffortBudgetConfig(), evaluation=EvaluationConfig(num_problems=3))
    inputs = read_inputs(run)
    assert all(p.budget for p in inputs.training)
    assert [p.budget for p in inputs.held_out] == [None] * 3


@pytest.mark.parametrize(("num_prompts", "is_wrong"), [(-1, True), (0, False), (1, False)])
def test_a_negative_number_of_prompts_is_a_problem(num_prompts: int, is_wrong: bool) -> None:
    problems = DataConfig(path="rows", num_prompts=num_prompts).problems()
    assert problems == (["data.num_prompts=-1: set it to 0 (all) or more"] if is_wrong else [])
