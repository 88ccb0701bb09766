"""What prompts ask for: drawn once from seed and id, written after the question."""

import json
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.budgets import (
    DualBudgetConfig,
    EffortBudgetConfig,
    ExactBudgetConfig,
    MaxBudgetConfig,
    NoBudgetConfig,
    build_draw,
    build_none,
    described,
    draw_budget,
    phrase_of,
)
from data.config import BudgetConfig, BudgetKind, DataConfig
from data.loading import load_dataset
from data.types import Budget
from tests.data.tokenizers import word_tokenizer

EXACT, MAX, EFFORT = BudgetKind.EXACT, BudgetKind.MAX, BudgetKind.EFFORT
IDS = [f"{number:016x}" for number in range(2000)]
ROWS = [{"prompt": f"What is {word}", "answer": word} for word in ("one", "two", "plus")]


def budgets_of(config, held_out=False):
    draw = build_draw(config, held_out)
    return [draw(prompt_id) for prompt_id in IDS]


@pytest.mark.parametrize(
    ("budget", "phrase"),
    [
        (Budget(kind=EXACT, amount=120), "Think for 120 tokens."),
        (Budget(kind=MAX, amount=120), "Think for maximum 120 tokens."),
        (Budget(kind=EFFORT, amount=25), "Use 25 percent effort."),
        (None, ""),
    ],
)
def test_a_budget_is_asked_for_in_words(budget, phrase):
    assert phrase_of(budget) == phrase


def test_every_amount_of_the_grid_is_drawn_equally_often_and_no_other():
    config = ExactBudgetConfig(min_tokens=40, max_tokens=200, step_tokens=20)
    counts = Counter(budget.amount for budget in budgets_of(config))
    assert sorted(counts) == [40, 60, 80, 100, 120, 140, 160, 180, 200]
    assert max(counts.values()) < 1.3 * 2000 / 9
    assert min(counts.values()) > 0.7 * 2000 / 9


def test_held_out_prompts_may_be_asked_for_what_was_never_trained_on():
    config = ExactBudgetConfig(
        min_tokens=40, max_tokens=200, step_tokens=20, eval_min_tokens=50, eval_max_tokens=190
    )
    trained = {budget.amount for budget in budgets_of(config)}
    evaluated = {budget.amount for budget in budgets_of(config, held_out=True)}
    assert evaluated == {50, 70, 90, 110, 130, 150, 170, 190}
    assert trained.isdisjoint(evaluated)


def test_held_out_prompts_are_asked_for_nothing_unless_the_recipe_says_so():
    for config in (ExactBudgetConfig(), DualBudgetConfig(), EffortBudgetConfig()):
        assert set(budgets_of(config, held_out=True)) == {None}
    assert set(budgets_of(EffortBudgetConfig(eval_percents=[40]), held_out=True)) == {
        Budget(kind=EFFORT, amount=40)
    }


@pytest.mark.parametrize(
    ("config", "kinds"),
    [
        (ExactBudgetConfig(), {EXACT}),
        (MaxBudgetConfig(), {MAX}),
        (DualBudgetConfig(), {EXACT, MAX}),
        (EffortBudgetConfig(), {EFFORT}),
    ],
)
def test_prompts_have_budgets_of_the_options_kinds(config, kinds):
    assert {budget.kind for budget in budgets_of(config)} == config.kinds() == kinds


def test_half_of_the_prompts_under_dual_ask_for_a_maximum_whatever_the_amount():
    budgets = budgets_of(DualBudgetConfig(min_tokens=1, max_tokens=2))
    counts = Counter((budget.kind, budget.amount) for budget in budgets)
    assert len(counts) == 4
    assert all(0.8 * 500 < count < 1.2 * 500 for count in counts.values())


def test_an_effort_is_one_of_the_list():
    counts = Counter(budget.amount for budget in budgets_of(EffortBudgetConfig(percents=[30, 90])))
    assert set(counts) == {30, 90}
    assert abs(counts[30] - counts[90]) < 200


def test_prompts_as_they_are_ask_for_nothing():
    assert build_none(NoBudgetConfig(), held_out=False)("a") is None
    assert BudgetConfig().kinds() == frozenset()


def test_the_draw_is_the_one_that_was_always_made():
    """A changed hash would give every prompt of a stored run another budget."""
    drawn = [draw_budget(name, range(100, 4001), [EXACT, MAX], 0) for name in ("a", "b", "d")]
    assert [(budget.kind.value, budget.amount) for budget in drawn] == [
        ("exact", 1823),
        ("exact", 2651),
        ("max", 3967),
    ]


@given(st.sampled_from(IDS), st.integers(0, 99), st.integers(1, 50), st.integers(0, 50))
def test_a_draw_depends_on_seed_and_id_alone_and_stays_in_range(name, seed, low, width):
    amounts = range(low, low + width + 1)
    first = draw_budget(name, amounts, [EXACT, MAX], seed)
    assert first.amount in amounts
    assert draw_budget(name, amounts, [EXACT, MAX], seed) == first


def test_another_seed_draws_anew():
    same = sum(
        one == other
        for one, other in zip(
            budgets_of(ExactBudgetConfig(seed=0)),
            budgets_of(ExactBudgetConfig(seed=1)),
            strict=True,
        )
    )
    assert same < 20


def loaded(tmp_path, rows, draw, **options):
    path = tmp_path / "questions.jsonl"
    path.write_text("\n".join(map(json.dumps, rows)) + "\n")
    config = DataConfig(path=str(path), **options)
    return load_dataset(config, word_tokenizer(), 100, draw=draw).prompts


def test_the_phrase_follows_the_instruction_and_the_prompt_keeps_its_id(tmp_path):
    draw = build_draw(ExactBudgetConfig(min_tokens=7, max_tokens=7), held_out=False)
    plain = loaded(tmp_path, ROWS, lambda prompt_id: None)
    asked = loaded(tmp_path, ROWS, draw, instruction="Box it")
    assert [prompt.id for prompt in asked] == [prompt.id for prompt in plain]
    assert [prompt.messages for prompt in asked] == [prompt.messages for prompt in plain]
    assert [prompt.budget for prompt in asked] == [Budget(kind=EXACT, amount=7)] * 3
    assert [prompt.budget for prompt in plain] == [None] * 3
    text = word_tokenizer().decode(asked[0].token_ids)
    assert text == "<user> What is one Box it Think for 7 tokens. <assistant>"


def test_the_order_of_the_rows_does_not_matter(tmp_path):
    draw = build_draw(DualBudgetConfig(), held_out=False)
    forwards = {p.id: (p.budget, p.token_ids.tolist()) for p in loaded(tmp_path, ROWS, draw)}
    backwards = loaded(tmp_path, ROWS[:0:-1], draw)
    assert len(backwards) == 2
    assert all(forwards[p.id] == (p.budget, p.token_ids.tolist()) for p in backwards)
    assert len({budget for budget, _ in forwards.values()}) == 3


@pytest.mark.parametrize(
    ("config", "start"),
    [
        (ExactBudgetConfig(min_tokens=0), "budget.min_tokens=0, budget.max_tokens=4000: set 1 <= "),
        (MaxBudgetConfig(min_tokens=9, max_tokens=8), "budget.min_tokens=9, budget.max_tokens=8: "),
        (DualBudgetConfig(step_tokens=0), "budget.step_tokens=0: set it to 1 or more"),
        (
            ExactBudgetConfig(eval_max_tokens=9),
            "budget.eval_min_tokens=0, budget.eval_max_tokens=9",
        ),
        (
            ExactBudgetConfig(eval_min_tokens=9),
            "budget.eval_min_tokens=9, budget.eval_max_tokens=0",
        ),
        (
            ExactBudgetConfig(eval_min_tokens=9, eval_max_tokens=8),
            "budget.eval_min_tokens=9, budget.eval_max_tokens=8: set 1 <= budget.eval_min_tokens",
        ),
        (
            EffortBudgetConfig(percents=[]),
            "budget.percents=[]: set at least one, each of 1 or more",
        ),
        (EffortBudgetConfig(percents=[50, 0]), "budget.percents=[50, 0]: set at least one, "),
        (EffortBudgetConfig(eval_percents=[0]), "budget.eval_percents=[0]: set none, or "),
    ],
)
def test_a_range_without_budgets_is_a_problem(config, start):
    (problem,) = config.problems()
    assert problem.startswith(start)


@pytest.mark.parametrize(
    "config",
    [
        NoBudgetConfig(),
        ExactBudgetConfig(min_tokens=1, max_tokens=1, eval_min_tokens=1, eval_max_tokens=1),
        DualBudgetConfig(),
        EffortBudgetConfig(percents=[1], eval_percents=[1]),
    ],
)
def test_a_single_budget_is_enough(config):
    assert config.problems() == []


def test_what_was_asked_for_is_described_for_comparisons():
    tokens = DualBudgetConfig(step_tokens=10, eval_min_tokens=25, eval_max_tokens=60)
    assert described(tokens, held_out=True) == "exact or max 25 to 55 by 10, seed 0"
    efforts = EffortBudgetConfig(seed=3, eval_percents=[30, 60])
    assert described(efforts, held_out=True) == "effort 30, 60, seed 3"
    assert described(EffortBudgetConfig(), held_out=True) == "none"
    assert described(NoBudgetConfig(), held_out=False) == "none"
