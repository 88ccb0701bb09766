"""Budgets and rewards that do not fit each other, each with what to set."""

from typing import Any

import pytest

from data.budgets import (
    DualBudgetConfig,
    EffortBudgetConfig,
    ExactBudgetConfig,
    MaxBudgetConfig,
    NoBudgetConfig,
)
from data.config import BudgetConfig
from rewards.config import CustomRewardConfig, RewardConfig
from rewards.correct import CorrectConfig
from rewards.length.effort import EffortConfig, MovingEffortConfig
from rewards.length.hapo import HapoConfig
from rewards.length.lcpo import LcpoDualConfig, LcpoExactConfig, LcpoMaxConfig
from rl.cli.budget_problems import budget_problems
from rl.config import ConstantLimitConfig, RunConfig


def problems(reward: RewardConfig, budget: BudgetConfig, limit: int = 4096) -> list[str]:
    sections: dict[str, Any] = {"limit": ConstantLimitConfig(max_response_tokens=limit)}
    return budget_problems(RunConfig(reward=reward, budget=budget, **sections))


@pytest.mark.parametrize(
    ("reward", "budget"),
    [
        (CorrectConfig(), NoBudgetConfig()),
        (HapoConfig(), NoBudgetConfig()),
        (LcpoExactConfig(), ExactBudgetConfig()),
        (LcpoMaxConfig(), MaxBudgetConfig()),
        (LcpoDualConfig(), DualBudgetConfig()),
        (LcpoDualConfig(), MaxBudgetConfig()),
        (MovingEffortConfig(), EffortBudgetConfig()),
        (CustomRewardConfig(target="m.f"), NoBudgetConfig()),
        (CustomRewardConfig(target="m.f"), DualBudgetConfig()),
    ],
)
def test_a_reward_with_budgets_that_it_scores_is_right(
    reward: RewardConfig, budget: BudgetConfig
) -> None:
    assert problems(reward, budget) == []


@pytest.mark.parametrize(
    ("reward", "name", "fitting"),
    [
        (LcpoExactConfig(), "lcpo_exact", "exact"),
        (LcpoDualConfig(), "lcpo_dual", "exact or max or dual"),
        (EffortConfig(), "effort", "effort"),
    ],
)
def test_a_reward_that_scores_budgets_needs_them(
    reward: RewardConfig, name: str, fitting: str
) -> None:
    assert problems(reward, NoBudgetConfig()) == [
        f"reward={name} with budget=none: it scores what prompts ask for, and they ask for "
        f"nothing; set budget={fitting}"
    ]


@pytest.mark.parametrize(
    ("budget", "name", "reward", "scoring", "remedy"),
    [
        (
            ExactBudgetConfig(), "exact", CorrectConfig(), "correct",
            "budget=none, or reward=lcpo_exact or lcpo_dual",
        ),
        (
            DualBudgetConfig(), "dual", LcpoMaxConfig(), "lcpo_max",
            "budget=max, or reward=lcpo_dual",
        ),
        (
            EffortBudgetConfig(), "effort", HapoConfig(), "hapo",
            "budget=none, or reward=effort or effort_group or effort_moving",
        ),
    ],
)  # fmt: skip
def test_prompts_do_not_ask_for_what_is_not_scored(
    budget: BudgetConfig, name: str, reward: RewardConfig, scoring: str, remedy: str
) -> None:
    assert problems(reward, budget) == [
        f"budget={name} with reward={scoring}: prompts would ask for what is not scored; set "
        f"{remedy}"
    ]


def test_a_choice_that_does_not_exist_is_not_complained_about_twice() -> None:
    assert problems(LcpoExactConfig(), BudgetConfig()) == []
    assert problems(RewardConfig(), ExactBudgetConfig()) == []


def test_no_prompt_asks_for_more_than_the_limit() -> None:
    config = ExactBudgetConfig(max_tokens=300, eval_min_tokens=50, eval_max_tokens=200)
    assert problems(LcpoExactConfig(), config, limit=300) == []
    assert problems(LcpoExactConfig(), config, limit=199) == [
        "budget.max_tokens=300 with limit.max_response_tokens=199: no answer can be that long; set "
        "budget.max_tokens<=199, or a higher limit",
        "budget.eval_max_tokens=200 with limit.max_response_tokens=199: no answer can be that "
        "long; set budget.eval_max_tokens<=199, or a higher limit",
    ]
    assert problems(EffortConfig(), EffortBudgetConfig(percents=[500]), limit=9) == []
