"""Votes, budgets and efforts of `laconic eval`: what they become, and what is refused."""

from dataclasses import replace
from pathlib import Path

import pytest

from data.budgets import build_draw
from data.config import BudgetKind
from data.types import Budget
from rl.cli.compose import compose
from rl.cli.eval_options import (
    NO_OPTIONS,
    FurtherOptions,
    conditions_of,
    further_problems,
    rules_of,
)
from rl.cli.evaluate import checked
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rl.evaluate.voting import Rule

RECIPES = Path(__file__).resolve().parents[3] / "recipes"
MACHINE = Machine(num_cores=2, num_gpus=0)


def config(recipe: str, *overrides: str) -> RunConfig:
    return compose(RECIPES / recipe, overrides, MACHINE).config


def asked(config: RunConfig) -> Budget | None:
    """What a held-out prompt asks for under `config`."""
    return build_draw(config.budget, held_out=True)("any id")  # type: ignore[arg-type]


def test_votes_are_read_in_order_each_once() -> None:
    options = FurtherOptions(decode="majority@8, short-3@8,first-finish@8,short-1@8")
    assert rules_of(options) == (Rule(8, 8), Rule(3, 8), Rule(1, 8))


def test_nothing_is_asked_for_unless_it_is() -> None:
    quickstart = config("quickstart.yaml")
    assert further_problems(NO_OPTIONS, quickstart) == []
    assert (rules_of(NO_OPTIONS), conditions_of(NO_OPTIONS, quickstart)) == ((), [])


def test_under_a_budget_every_held_out_prompt_asks_for_it() -> None:
    exact = config("lab/lcpo_exact.yaml")
    options = FurtherOptions(budgets="105,50")
    assert further_problems(options, exact) == []
    found = conditions_of(options, exact)
    assert [(each.name, each.trained) for each in found] == [
        ("exact_50", True),
        ("exact_105", False),
    ]
    assert [asked(each.config) for each in found] == [
        Budget(kind=BudgetKind.EXACT, amount=50),
        Budget(kind=BudgetKind.EXACT, amount=105),
    ]
    assert not any(each.config.evaluation.greedy for each in found)
    assert replace(found[0].config, budget=exact.budget, evaluation=exact.evaluation) == exact


def test_a_recipe_of_both_kinds_has_a_curve_of_each() -> None:
    dual = config("lab/lcpo_max.yaml")
    found = conditions_of(FurtherOptions(budgets="50"), dual)
    assert [asked(each.config) for each in found] == [
        Budget(kind=BudgetKind.EXACT, amount=50),
        Budget(kind=BudgetKind.MAX, amount=50),
    ]


def test_efforts_are_shares_and_become_percent() -> None:
    effort = config("lab/effort.yaml")
    options = FurtherOptions(efforts="1.0,0.25,.5,1.,0.50,0.30,1.5")
    assert further_problems(options, effort) == []
    found = conditions_of(options, effort)
    assert [(each.amount, each.trained) for each in found] == [
        (25, True), (30, False), (50, True), (100, True), (150, False),
    ]  # fmt: skip
    assert asked(found[1].config) == Budget(kind=BudgetKind.EFFORT, amount=30)


@pytest.mark.parametrize(
    ("decode", "said"),
    [
        ("best@3", "there is no such vote; write majority@K, short-M@K or first-finish@K"),
        ("majority", "there is no such vote"),
        ("short-3", "there is no such vote"),
        ("", ""),
        ("majority@4,", "there is no such vote"),
        ("short-5@4", "set 1 <= M <= K"),
        ("short-0@4", "set 1 <= M <= K"),
        ("majority@0", "set 1 <= M <= K"),
        ("short-3@5", "set evaluation.samples_per_problem=5 or more"),
        ("short-4@4", ""),
    ],
)
def test_votes_that_cannot_be_taken_are_refused(decode: str, said: str) -> None:
    found = further_problems(FurtherOptions(decode=decode), config("quickstart.yaml"))
    assert len(found) == bool(said)
    assert said in "".join(found)


@pytest.mark.parametrize("effort", ["25", "0", "0.001", "0.255", "-0.5", "x", "1e-1", "", "."])
def test_what_is_no_share_in_whole_percent_is_no_effort(effort: str) -> None:
    found = further_problems(FurtherOptions(efforts=f"0.5,{effort}"), config("lab/effort.yaml"))
    assert [problem.split(":")[0] for problem in found] == [f"--efforts {effort}"]


@pytest.mark.parametrize("tokens", ["0", "513", "-5", "4.5", "x", "9" * 30])
def test_a_budget_that_no_answer_can_have_is_refused(tokens: str) -> None:
    options = FurtherOptions(budgets=f"512,{tokens}")
    found = further_problems(options, config("lab/lcpo_exact.yaml"))
    said = f"--budgets {tokens} with limit.max_response_tokens=512: give whole numbers of tokens"
    assert len(found) == 1
    assert found[0].startswith(said)


@pytest.mark.parametrize(
    ("recipe", "options", "said"),
    [
        ("quickstart.yaml", FurtherOptions(efforts="0.5"), "with budget=none: the recipe's"),
        ("quickstart.yaml", FurtherOptions(budgets="50"), "with budget=none: the recipe's"),
        ("lab/effort.yaml", FurtherOptions(budgets="50"), "ask for no number of tokens"),
        ("lab/lcpo_exact.yaml", FurtherOptions(efforts="0.5"), "set budget=effort reward=effort"),
    ],
)
def test_a_recipe_whose_prompts_ask_for_something_else_is_refused(
    recipe: str, options: FurtherOptions, said: str
) -> None:
    [problem] = further_problems(options, config(recipe))
    assert said in problem


@pytest.mark.parametrize(
    "overrides",
    [
        ("budget=effort", "reward=effort"),
        ("budget=exact", "reward=lcpo_exact", "budget.max_tokens=200"),
        ("budget=max", "reward=lcpo_max", "budget.max_tokens=200"),
        ("budget=dual", "reward=lcpo_dual", "budget.max_tokens=200"),
    ],
)
def test_what_a_refusal_says_to_set_is_accepted(overrides: tuple[str, ...]) -> None:
    other = config("quickstart.yaml", *overrides)
    is_effort = "budget=effort" in overrides
    options = FurtherOptions(efforts="0.5") if is_effort else FurtherOptions(budgets="50")
    assert further_problems(options, other) == []


def test_every_problem_of_the_options_is_said_before_anything_starts() -> None:
    options = FurtherOptions(decode="best@3,majority@8", efforts="0.5")
    with pytest.raises(RecipeError) as caught:
        checked(RECIPES / "quickstart.yaml", [], "", "lab:short_tied", MACHINE, options)
    assert [problem.split(":")[0] for problem in caught.value.problems] == [
        "--decode best@3",
        "--decode majority@8 with evaluation.samples_per_problem=4",
        "--efforts 0.5 with budget=none",
    ]
