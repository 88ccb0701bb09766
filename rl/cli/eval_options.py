"""What `laconic eval` does beyond its recipe: votes over the samples, and curves over budgets.

Flow: the texts of `--decode`, `--budgets` and `--efforts` -> `further_problems`, or else `rules_of`
and `conditions_of`: the recipe, once for each amount that all held-out problems are asked for.
"""

import re
from dataclasses import dataclass, replace

from data.budgets import (
    DrawnBudgetConfig,
    EffortBudgetConfig,
    ExactBudgetConfig,
    MaxBudgetConfig,
    TokenBudgetConfig,
)
from data.config import BudgetConfig, BudgetKind
from rl.cli.options import option_name
from rl.config import RunConfig
from rl.evaluate.voting import Rule

RULE = re.compile(r"(?:majority|first-finish|short-(?P<m>[0-9]{1,4}))@(?P<k>[0-9]{1,4})")
ONE_KIND: dict[BudgetKind, type[TokenBudgetConfig]] = {
    BudgetKind.EXACT: ExactBudgetConfig,
    BudgetKind.MAX: MaxBudgetConfig,
}
MOST_EFFORT = 10
"""Times the tokens that a question usually takes; beyond, a percentage is meant."""


@dataclass(frozen=True, slots=True, kw_only=True)
class FurtherOptions:
    """The texts of the command line, entries separated by commas; empty asks for nothing."""

    decode: str = ""
    budgets: str = ""
    efforts: str = ""


NO_OPTIONS = FurtherOptions()


@dataclass(frozen=True, slots=True, kw_only=True)
class Condition:
    """All held-out problems asked for `amount`: the recipe in which they are.

    `trained` is whether training prompts may ask for it too.
    """

    kind: BudgetKind
    amount: int
    trained: bool
    config: RunConfig

    @property
    def name(self) -> str:
        return f"{self.kind}_{self.amount}"


def further_problems(options: FurtherOptions, config: RunConfig) -> list[str]:
    """What is wrong in the options, or between them and the recipe."""
    found = [
        problem
        for text in _entries(options.decode)
        if (problem := _rule_problem(text, config.evaluation.samples_per_problem))
    ]
    if options.budgets:
        found += _budget_problems(options.budgets, config)
    if options.efforts:
        found += _effort_problems(options.efforts, config.budget)
    return found


def rules_of(options: FurtherOptions) -> tuple[Rule, ...]:
    """The votes that are asked for, each once; the options are in order."""
    rules = map(_rule, _entries(options.decode))
    return tuple(dict.fromkeys(rule for rule in rules if rule))


def conditions_of(options: FurtherOptions, config: RunConfig) -> list[Condition]:
    """What all problems are asked for, by kind, least first; the options are in order."""
    amounts = {_whole(text) for text in _entries(options.budgets)}
    amounts |= {_percent(text) for text in _entries(options.efforts)}
    trained = config.budget.amounts(held_out=False)
    return [
        Condition(
            kind=kind,
            amount=amount,
            trained=amount in trained,
            config=_asking(config, kind, amount),
        )
        for kind in sorted(config.budget.kinds())
        for amount in sorted(amount for amount in amounts if amount is not None)
    ]


def _asking(config: RunConfig, kind: BudgetKind, amount: int) -> RunConfig:
    """The recipe in which every held-out prompt asks for `amount`, and nothing is decoded twice."""
    budget = config.budget
    assert isinstance(budget, DrawnBudgetConfig), "others are refused"
    asked: DrawnBudgetConfig
    if isinstance(budget, EffortBudgetConfig):
        asked = replace(budget, eval_percents=[amount])
    else:
        asked = ONE_KIND[kind](eval_min_tokens=amount, eval_max_tokens=amount, seed=budget.seed)
    evaluation = replace(config.evaluation, greedy=False)
    return replace(config, budget=asked, evaluation=evaluation)


def _rule(text: str) -> Rule | None:
    match = RULE.fullmatch(text)
    if match is None:
        return None
    k = int(match["k"])
    return Rule(int(match["m"]) if match["m"] else k if text.startswith("majority") else 1, k)


def _rule_problem(text: str, samples_per_problem: int) -> str:
    rule = _rule(text)
    if rule is None:
        return (
            f"--decode {text}: there is no such vote; write majority@K, short-M@K or "
            "first-finish@K, such as short-3@8, separated by commas"
        )
    if not 1 <= rule.m <= rule.k:
        return f"--decode {text}: short-M@K waits for M of K samples; set 1 <= M <= K"
    if rule.k > samples_per_problem:
        return (
            f"--decode {text} with evaluation.samples_per_problem={samples_per_problem}: a vote is "
            f"among the samples that are drawn; set evaluation.samples_per_problem={rule.k} or more"
        )
    return ""


def _budget_problems(text: str, config: RunConfig) -> list[str]:
    budget, limit = config.budget, config.limit.max_response_tokens
    if not isinstance(budget, TokenBudgetConfig):
        return [
            f"--budgets {text} with budget={option_name('budget', budget)}: the recipe's prompts "
            "ask for no number of tokens; set budget=exact reward=lcpo_exact, budget=max "
            "reward=lcpo_max or budget=dual reward=lcpo_dual"
        ]
    wrong = [entry for entry in _entries(text) if not 1 <= (_whole(entry) or 0) <= limit]
    return [
        f"--budgets {entry} with limit.max_response_tokens={limit}: give whole numbers of tokens "
        f"from 1 to {limit}, such as 50,100"
        for entry in wrong
    ]


def _effort_problems(text: str, budget: BudgetConfig) -> list[str]:
    if not isinstance(budget, EffortBudgetConfig):
        return [
            f"--efforts {text} with budget={option_name('budget', budget)}: the recipe's prompts "
            "ask for no effort; set budget=effort reward=effort"
        ]
    return [
        f"--efforts {entry}: an effort is a share of the tokens that a question takes, in whole "
        "percent; 25 percent is 0.25"
        for entry in _entries(text)
        if _percent(entry) is None
    ]


def _whole(text: str) -> int | None:
    return int(text) if re.fullmatch(r"[0-9]{1,9}", text) else None


def _percent(text: str) -> int | None:
    """Percent of an effort such as 0.25; None for what is no effort."""
    if not re.fullmatch(r"[0-9]{0,2}(?:\.[0-9]{1,2}0*|\.)?", text) or text in ("", "."):
        return None
    percent = round(float(text) * 100)
    return percent if 1 <= percent <= MOST_EFFORT * 100 else None


def _entries(text: str) -> list[str]:
    return [entry.strip() for entry in text.split(",")] if text else []
