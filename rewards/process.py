"""A user's reward for whole updates, in a process of its own with a deadline.

It sees all groups of an update at once, so that no one completion can be blamed when it fails: the
run ends with `RewardError`. What judges one completion at a time is `rewards.functions`.
"""

import random
import sys
from collections.abc import Callable, Coroutine, Sequence
from hashlib import blake2b
from math import isfinite
from typing import Any

import msgspec
import numpy as np

from data.types import Group, Score, Verdict
from data.wire import decode, encode
from rewards.config import CustomRewardConfig
from rewards.custom import build_reward
from rewards.pool import AnswerFailed, Job, WorkerPool
from rewards.protocols import Reward, RewardError, Verdicts

Wait = Callable[[Coroutine[Any, Any, Any]], Any]
"""Runs a coroutine on the pool's event loop and waits for it."""


def reward_job(config: CustomRewardConfig) -> Job:
    """What the process is to load."""
    return Job(loader="rewards.process:load", args={"config": msgspec.to_builtins(config)})


def load(config: dict[str, Any]) -> Callable[[bytes], list[list[Score]]]:
    """Runs in the process: what it calls with [groups, verdicts]."""
    reward = build_reward(msgspec.convert(config, CustomRewardConfig))

    def scores(payload: bytes) -> list[list[Score]]:
        seed_generators(payload)
        return reward(*decode(payload, tuple[list[Group], list[list[Verdict]]]))

    return scores


def seed_generators(payload: bytes) -> None:
    """Seeds the generators that a reward may draw from, by the update that it is given.

    No checkpoint reaches this process; a resumed run draws what the uninterrupted one would have.
    """
    seed = int.from_bytes(blake2b(payload, digest_size=4).digest())
    random.seed(seed)
    np.random.seed(seed)
    if torch := sys.modules.get("torch"):
        torch.manual_seed(seed)


def in_its_own_process(config: CustomRewardConfig, pool: WorkerPool, wait: Wait) -> Reward:
    """The reward of `config` in the one worker of `pool`, which keeps its state between updates.

    Raises `RewardError` when it takes longer than `timeout_seconds`, raises, dies, or returns
    something other than one finite score per completion.
    """
    job = reward_job(config)

    def reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        try:
            value = wait(pool.ask(job, encode((groups, verdicts)), config.timeout_seconds))
            scores = msgspec.convert(value, list[list[Score]])
        except (AnswerFailed, msgspec.ValidationError) as error:
            raise RewardError(
                f"reward.target={config.target} {error}; mend it, or raise reward.timeout_seconds"
            ) from error
        if unusable := [s.total for row in scores for s in row if not isfinite(s.total)]:
            raise RewardError(
                f"reward.target={config.target} returned {unusable[0]} for {len(unusable)} of "
                f"{sum(map(len, scores))} completions; return finite numbers"
            )
        return scores

    return reward
