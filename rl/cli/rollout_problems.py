"""Problems of how a run samples: ahead of its updates, in cut steps and windows, as trees."""

import math

from rewards.correct import CorrectConfig
from rl.algorithms.tppo import TPpoConfig
from rl.cli.options import option_name
from rl.config import RunConfig
from rl.limits.palu import PaluConfig
from rollout.config import Order, RecordingConfig


def _samples_ahead(config: RunConfig) -> bool:
    """Whether answers are sampled while the learner updates.

    A step of T-PPO ends when its windows have: its answers are old, its sampling is not ahead.
    """
    return config.rollout.max_staleness > 0 and not isinstance(config.algorithm, TPpoConfig)


def asynchrony_problems(config: RunConfig) -> list[str]:
    """What may not be combined with sampling while the learner updates."""
    staleness = config.rollout.max_staleness
    if not staleness:
        return []
    given = f"rollout.max_staleness={staleness}"
    found = []
    if config.deterministic and _samples_ahead(config):
        found.append(
            f"deterministic=true with {given}: what is sampled then depends on timing; set "
            "rollout.max_staleness=0 or deterministic=false"
        )
    if config.algorithm.oversampling.asks_for_more:
        found.append(
            f"algorithm.oversampling with {given}: the stream is ahead by {staleness} updates "
            "already, and more groups would grow too old; set initial and highest to 1, or "
            "rollout.max_staleness=0"
        )
    if isinstance(config.rollout, RecordingConfig):
        found.append(
            f"{given} with recorded answers: there is nothing to sample ahead; set "
            "rollout.max_staleness=0"
        )
    return found


def cut_and_tree_problems(config: RunConfig) -> list[str]:
    """What cut and shared answers may not be combined with."""
    rollout, limit = config.rollout, config.limit.max_response_tokens
    tree, window = rollout.tree.depth > 1, f"rollout.window_tokens={rollout.window_tokens}"
    spare = f"rollout.oversample={rollout.oversample}"
    found = []
    if rollout.window_tokens and not rollout.max_staleness:
        found.append(
            f"{window} with rollout.max_staleness=0: every update would wait for all windows of "
            "its answers; set rollout.max_staleness to 1 or more"
        )
    if rollout.window_tokens >= limit > 0:
        found.append(
            f"{window} with limit.max_response_tokens={limit}: every answer ends in its first "
            "window; set a smaller window, or 0 for none"
        )
    if rollout.window_tokens and tree:
        found.append(
            f"{window} with rollout.tree.depth={rollout.tree.depth}: segments of a tree are not "
            "cut; set rollout.window_tokens=0 or rollout.tree.depth=1"
        )
    if rollout.max_staleness + 1 < rollout.oversample < math.inf:
        later = math.ceil(rollout.oversample - 1)
        found.append(
            f"{spare} with rollout.max_staleness={rollout.max_staleness}: some of what is cut is "
            f"trained on {later} update(s) later; set rollout.max_staleness>={later}, or a smaller "
            "rollout.oversample"
        )
    if rollout.oversample > 1 and tree:
        found.append(
            f"{spare} with rollout.tree.depth={rollout.tree.depth}: segments of a tree are not "
            "cut; set rollout.oversample=1 or rollout.tree.depth=1"
        )
    if isinstance(rollout, RecordingConfig):
        asked = {
            "tree.depth=1": tree,
            "window_tokens=0": rollout.window_tokens,
            "oversample=1": rollout.oversample > 1,
            "schedule=none": rollout.schedule is not Order.none,
        }
        if cures := [f"rollout.{cure}" for cure, is_asked in asked.items() if is_asked]:
            found.append(
                f"recorded answers: nothing is sampled, cut, shared or ordered; set "
                f"{', '.join(cures)}"
            )
    return found


def truncated_ppo_problems(config: RunConfig) -> list[str]:
    """T-PPO hands responses over one by one: what needs windows, and what needs whole groups."""
    if not isinstance(config.algorithm, TPpoConfig):
        return []
    window, limit = config.rollout.window_tokens, config.limit.max_response_tokens
    if not window:
        return [
            "algorithm=tppo with rollout.window_tokens=0: it trains on windows of answers; set "
            f"rollout.window_tokens below limit.max_response_tokens={limit}, or algorithm=vapo"
        ]
    found = []
    if config.rollout.max_staleness < (oldest := -(-limit // window) - 1):
        found.append(
            f"rollout.max_staleness={config.rollout.max_staleness} with algorithm=tppo, "
            f"limit.max_response_tokens={limit} and rollout.window_tokens={window}: the first "
            f"window of the longest answer is {oldest} versions old when it ends; set "
            f"rollout.max_staleness>={oldest}"
        )
    if not isinstance(config.reward, CorrectConfig) or isinstance(config.limit, PaluConfig):
        found.append(
            f"algorithm=tppo with reward={option_name('reward', config.reward)} and limit="
            f"{option_name('limit', config.limit)}: answers are scored as they end, before their "
            "group is complete; set reward=correct, and a limit that does not learn from groups"
        )
    return found
