"""A reward of the user's own, named by a dotted path and checked on every update."""

from collections.abc import Callable, Sequence
from pkgutil import resolve_name
from typing import Any

from data.types import Group, Score
from rewards.config import CustomRewardConfig
from rewards.protocols import Reward, Verdicts


def build_reward(config: CustomRewardConfig) -> Reward:
    """The Reward at `target`, or what the factory at `target` makes of `args`.

    The recipe's folder must be importable. Raises ValueError, with what to set, when nothing
    callable is there or the factory refuses its arguments.
    """
    found = _resolve(config.target)
    if not config.args:
        return _checked(found, config.target)
    try:
        made = found(**config.args)
    except TypeError as error:
        raise ValueError(
            f"reward.args={config.args}: {config.target} refused them ({error}); "
            "set reward.args to its parameters"
        ) from error
    if not callable(made):
        raise ValueError(
            f"reward.target={config.target}: with reward.args it is a factory, but it returned "
            f"{type(made).__name__}, which cannot be called; return a function(groups, verdicts)"
        )
    return _checked(made, config.target)


def _resolve(target: str) -> Callable[..., Any]:
    try:
        found = resolve_name(target)
    except (ImportError, AttributeError, ValueError) as error:
        raise ValueError(
            f"reward.target={target}: cannot be imported ({error}); name a function as "
            "module.name, where module.py lies beside the recipe or is installed"
        ) from error
    if not callable(found):
        raise ValueError(
            f"reward.target={target}: is a {type(found).__name__}; name a "
            "function(groups, verdicts)"
        )
    return found  # type: ignore[no-any-return]


def _checked(reward: Reward, target: str) -> Reward:
    """`reward`, held to one score per completion."""

    def checked_reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        scores = reward(groups, verdicts)
        expected = [len(group.completions) for group in groups]
        returned = [len(row) for row in scores]
        if returned != expected:
            raise ValueError(
                f"reward.target={target}: returned {returned} scores per group; "
                f"the groups have {expected} completions"
            )
        return scores

    return checked_reward
