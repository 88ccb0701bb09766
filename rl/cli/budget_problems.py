"""What is wrong between what prompts ask for, the reward that scores it, and the limit."""

from data.budgets import TokenBudgetConfig
from data.config import BudgetConfig
from rewards.config import CustomRewardConfig, RewardConfig
from rl.cli.options import GROUPS, option_name
from rl.config import RunConfig


def budget_problems(config: RunConfig) -> list[str]:
    """Budgets that nobody scores, scores without budgets, budgets beyond the limit."""
    return _scoring(config) + _limit(config)


def _scoring(config: RunConfig) -> list[str]:
    if _is_unknown(config) or isinstance(config.reward, CustomRewardConfig):
        return []
    asked, scored = config.budget.kinds(), config.reward.scored_budgets()
    budget, reward = option_name("budget", config.budget), option_name("reward", config.reward)
    fitting = " or ".join(
        name
        for name, option in GROUPS["budget"].items()
        if (kinds := option.config().kinds()) <= scored and bool(kinds) == bool(scored)
    )
    if scored and not asked:
        return [
            f"reward={reward} with budget={budget}: it scores what prompts ask for, and they ask "
            f"for nothing; set budget={fitting}"
        ]
    if not asked <= scored:
        rewards = [n for n, o in GROUPS["reward"].items() if asked <= o.config().scored_budgets()]
        return [
            f"budget={budget} with reward={reward}: prompts would ask for what is not scored; set "
            f"budget={fitting}, or reward={' or '.join(rewards)}"
        ]
    return []


def _is_unknown(config: RunConfig) -> bool:
    """Whether a choice does not exist, which is a problem of its own and leaves the base class."""
    return type(config.budget) is BudgetConfig or type(config.reward) is RewardConfig


def _limit(config: RunConfig) -> list[str]:
    if not isinstance(config.budget, TokenBudgetConfig):
        return []
    limit = config.limit.max_response_tokens
    asked = {
        "max_tokens": config.budget.max_tokens,
        "eval_max_tokens": config.budget.eval_max_tokens,
    }
    return [
        f"budget.{key}={tokens} with limit.max_response_tokens={limit}: no answer can be that "
        f"long; set budget.{key}<={limit}, or a higher limit"
        for key, tokens in asked.items()
        if tokens > limit
    ]
