"""A reward of the user's own, named by a dotted path and checked on every update.

Two shapes are known by their parameters: `function(groups, verdicts)`, which is ours, and TRL's
`function(prompts, completions, ..., **columns)`. Whichever is found is logged; where the parameters
do not tell, `reward.shape` must.
"""

import inspect
import logging
import math
from collections.abc import Callable, Sequence
from typing import Any

from data.types import Group, Score
from rewards.compose import LENGTH
from rewards.config import CustomRewardConfig, RewardShape
from rewards.from_trl import TRL_NAMES, as_messages, as_text, from_trl, raised
from rewards.protocols import Reward, RewardError, Verdicts
from rewards.target import load_target

logger = logging.getLogger(__name__)

OUR_NAMES = frozenset({"groups", "verdicts"})
SHAPES = "function(groups, verdicts), or TRL's function(prompts, completions, ...)"


def build_reward(config: CustomRewardConfig) -> Reward:
    """The reward at `target`, or what the factory at `target` makes of `args`.

    The recipe's folder must be importable. Raises ValueError, with what to set, when nothing
    callable is there, the factory refuses its arguments, or the shape is not clear.
    """
    function = load_target("reward.target", config.target, config.args, SHAPES)
    shape = _shape(function, config)
    if shape is RewardShape.trl:
        return from_trl(function, config.target, as_messages)
    if shape is RewardShape.trl_text:
        return from_trl(function, config.target, as_text)
    return _checked(function, config.target)


def with_length_part(reward: Reward, target: str) -> Reward:
    """`reward`, held to scores with a part named `length` where a gate is to act on it.

    Without one the gate would have nothing to take away, and nobody would notice.
    """

    def reward_with_length(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        scores = reward(groups, verdicts)
        if not any(LENGTH in score.parts for row in scores for score in row):
            found = sorted({name for row in scores for score in row for name in score.parts})
            raise RewardError(
                f"reward.target={target}: its scores have the parts {', '.join(found) or 'none'}; "
                f"a gate acts on a part named {LENGTH}: name it so, or set gate=none"
            )
        return scores

    return reward_with_length


def shape_of(function: Callable[..., Any]) -> RewardShape | None:
    """The shape that the parameters' names tell, None when they tell neither or both."""
    try:
        names = set(inspect.signature(function).parameters)
    except (TypeError, ValueError):
        return None
    ours, theirs = names >= OUR_NAMES, not names.isdisjoint(TRL_NAMES)
    if ours == theirs:
        return None
    return RewardShape.laconic if ours else RewardShape.trl


def _shape(function: Callable[..., Any], config: CustomRewardConfig) -> RewardShape:
    if config.shape is not RewardShape.auto:
        return config.shape
    found = shape_of(function)
    if found is None:
        raise ValueError(
            f"reward.target={config.target}: {_described(function)} is neither "
            "function(groups, verdicts) nor TRL's function(prompts, completions, ...); name its "
            "parameters so, or set reward.shape=laconic, trl (messages) or trl_text"
        )
    if found is RewardShape.trl:
        logger.info(
            "reward.target=%s is TRL's kind of function: %s; it is given messages "
            "(reward.shape=trl), reward.shape=trl_text gives it text",
            config.target,
            _described(function),
        )
    return found


def _described(function: Callable[..., Any]) -> str:
    try:
        return f"function{inspect.signature(function)}"
    except (TypeError, ValueError):
        return f"a {type(function).__name__} whose parameters cannot be read"


def _checked(reward: Callable[..., Any], target: str) -> Reward:
    """`reward`, held to one finite score per completion."""

    def checked_reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        try:
            scores = [list(row) for row in reward(groups, verdicts)]
        # A user's function raises what it likes; the message says where.
        except Exception as error:
            raise RewardError(raised(target, error)) from error
        expected = [len(group.completions) for group in groups]
        returned = [len(row) for row in scores]
        if returned != expected:
            raise RewardError(
                f"reward.target={target}: returned {returned} scores per group; "
                f"the groups have {expected} completions"
            )
        for score in (score for row in scores for score in row):
            if not isinstance(score, Score) or not math.isfinite(score.total):
                raise RewardError(
                    f"reward.target={target}: returned {score!r}; return a data.types.Score with a "
                    "finite total for every completion"
                )
        return scores

    return checked_reward
