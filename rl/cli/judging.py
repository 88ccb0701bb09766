"""Judging and scoring, wired: the pool of worker processes, the verifier, the reward."""

import asyncio
from contextlib import ExitStack
from dataclasses import replace
from functools import partial

from data.memory import PromptMemory
from data.references import References
from rewards.compose import gated, with_parts
from rewards.config import CustomRewardConfig, GateConfig, VerifierConfig
from rewards.custom import with_length_part
from rewards.format import format_part
from rewards.functions import function_jobs, with_functions
from rewards.gates.custom import CustomGateConfig, gate_job
from rewards.gates.none import NoGateConfig
from rewards.length.dot import DotConfig, cut_outliers
from rewards.pool import Job, PoolError, WorkerPool, make_pool
from rewards.process import in_its_own_process, reward_job
from rewards.protocols import Gate, Reward, Verifier
from rewards.verifiers.custom import CustomVerifierConfig, verifier_job
from rl.algorithms.dynamic_sampling import outcomes_differ, rewards_differ
from rl.cli.inputs import read_tokenizer
from rl.cli.options import build, build_offering
from rl.config import RunConfig, SamplingFilter
from rollout.background import BackgroundLoop
from rollout.stream import Keep, Revise, as_it_is


def start_pool(
    parts: ExitStack, config: VerifierConfig, loop: BackgroundLoop, workers: int = 0
) -> WorkerPool:
    """A pool on `loop`, of `workers` processes or else as configured; closed with `parts`."""
    pool = make_pool(replace(config, workers=workers or config.workers))
    parts.callback(lambda: loop.run(pool.close()))
    return pool


def build_verifier(config: RunConfig, pool: WorkerPool) -> Verifier:
    """The recipe's verifier alone, as an evaluation needs it."""
    verifier: Verifier = build("verifier", config.verifier, pool)
    return verifier


def training_verifier(config: RunConfig, pool: WorkerPool, verifier: Verifier) -> Verifier:
    """`verifier` with the recipe's functions, whose values the reward adds."""
    return with_functions(verifier, config.reward.functions, pool)


def build_reward(
    config: RunConfig,
    parts: ExitStack,
    loop: BackgroundLoop,
    memory: PromptMemory,
    references: References | None = None,
) -> Reward:
    """The recipe's reward, its length part gated, with what functions and format check add.

    A reward that learns about prompts keeps what it learns in `memory`; one that compares with the
    initial policy reads `references`, None where nothing was recorded. A user's reward and gate
    share a process of their own, which keeps their state between updates.
    """
    # Its process starts when it is asked first.
    pool = start_pool(parts, config.verifier, loop, workers=1)
    if isinstance(config.reward, CustomRewardConfig):
        reward = in_its_own_process(config.reward, pool, loop.run)
    else:
        reward = build_offering("reward", config.reward, memory=memory, references=references)
    if not isinstance(config.gate, NoGateConfig):
        if isinstance(config.reward, CustomRewardConfig):
            reward = with_length_part(reward, config.reward.target)
        reward = gated(reward, build_gate(config.gate, config.seed, pool, loop))
    if config.reward.functions:
        reward = with_parts(reward, lambda completion, verdict: verdict.parts)
    if weight := config.reward.format_weight:
        reward = with_parts(reward, lambda c, verdict: {"format": format_part(c, weight)})
    return reward


def build_gate(config: GateConfig, seed: int, pool: WorkerPool, loop: BackgroundLoop) -> Gate:
    """The recipe's gate; a user's runs in the one worker of `pool`."""
    parts = (pool, loop.run) if isinstance(config, CustomGateConfig) else (seed,)
    gate: Gate = build("gate", config, *parts)
    return gate


def group_revision(config: RunConfig) -> Revise:
    """What a judged group becomes before dynamic sampling sees it: DOT cuts its outliers."""
    if not isinstance(config.reward, DotConfig):
        return as_it_is
    tokenizer = read_tokenizer(config)
    return partial(
        cut_outliers,
        num_stds=config.reward.num_stds,
        margin_tokens=config.reward.margin_tokens,
        decode=lambda ids: str(tokenizer.decode(ids.tolist(), skip_special_tokens=True)),
    )


def group_filter(config: RunConfig) -> Keep:
    """Which groups are trained on: all, or under dynamic sampling those that differ within."""
    if not config.algorithm.dynamic_sampling:
        return lambda group, verdicts: True
    if config.algorithm.dynamic_sampling_by is SamplingFilter.correctness:
        return outcomes_differ
    return partial(rewards_differ, reward=build("reward", config.reward))


def check_user_code(config: RunConfig) -> None:
    """Raises ValueError when code that the recipe names cannot be loaded in a worker process."""
    jobs = _user_jobs(config)
    if not jobs:
        return
    try:
        asyncio.run(_check(config.verifier, jobs))
    except PoolError as error:
        raise ValueError(str(error)) from error


async def _check(config: VerifierConfig, jobs: list[Job]) -> None:
    pool = make_pool(replace(config, workers=1))
    try:
        await pool.check(jobs)
    finally:
        await pool.close()


def _user_jobs(config: RunConfig) -> list[Job]:
    jobs = list(function_jobs(config.reward.functions).values())
    if isinstance(config.verifier, CustomVerifierConfig):
        jobs.append(verifier_job(config.verifier))
    if isinstance(config.reward, CustomRewardConfig):
        jobs.append(reward_job(config.reward))
    if isinstance(config.gate, CustomGateConfig):
        jobs.append(gate_job(config.gate))
    return jobs
