"""The engine of a run, one or many: in this process tree, or replicas found by their addresses."""

import asyncio
import logging
import time
from dataclasses import dataclass, replace

from rollout.background import BackgroundLoop
from rollout.config import Placement, VllmConfig
from rollout.engine import EngineLost
from rollout.recovery import Patience
from rollout.replication.engine import ReplicatedEngine
from rollout.transfer import PolicyEngine
from rollout.vllm.environment import num_engine_threads
from rollout.vllm.remote import RemoteEngine, connect
from rollout.vllm.settings import Settings, needed_settings
from rollout.vllm.start import start_engine
from rollout.vllm.token_guard import token

logger = logging.getLogger(__name__)

POLL_SECONDS = 1.0


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """What an engine of a run serves; see `rollout.vllm.start.start_engine`."""

    model_path: str
    dtype: str
    max_model_tokens: int
    seed: int = 0


def start_rollout(
    config: VllmConfig,
    *,
    loop: BackgroundLoop,
    model_path: str,
    dtype: str,
    max_model_tokens: int,
    weight_version: int = 0,
    seed: int = 0,
) -> PolicyEngine:
    """The engine that `config` describes; arguments and errors are those of `start_engine`.

    Raises `EngineError` also when a replica of `config.urls` does not answer within
    `config.start_seconds`, or differs from what the run needs.
    """
    served = Served(
        model_path=model_path, dtype=dtype, max_model_tokens=max_model_tokens, seed=seed
    )
    if config.placement is Placement.remote:
        return connect_all(config, served, loop, weight_version)
    if config.replicas > 1:
        return start_all(config, served, loop, weight_version)
    return start_one(config, served, loop, weight_version)


def start_one(
    config: VllmConfig, served: Served, loop: BackgroundLoop, weight_version: int
) -> PolicyEngine:
    """One vLLM in this process tree."""
    return start_engine(
        config,
        loop=loop,
        model_path=served.model_path,
        dtype=served.dtype,
        max_model_tokens=served.max_model_tokens,
        weight_version=weight_version,
        seed=served.seed,
    )


def start_all(
    config: VllmConfig, served: Served, loop: BackgroundLoop, weight_version: int
) -> ReplicatedEngine:
    """`config.replicas` vLLMs of this process tree, one after the other, with a share of the
    threads each. Their draws differ: each has a seed of its own."""
    share = replace(
        config, num_threads=max(1, num_engine_threads(config.num_threads) // config.replicas)
    )

    def start(label: str, version: int) -> PolicyEngine:
        own = replace(served, seed=served.seed + labels.index(label))
        return start_one(share, own, loop, version)

    labels = [f"replica {index}" for index in range(config.replicas)]
    started: dict[str, PolicyEngine] = {}
    try:
        for label in labels:
            started[label] = start(label, weight_version)
    except BaseException:
        for engine in started.values():
            engine.shutdown()
        raise
    return ReplicatedEngine(started, start, loop, patience(config))


def connect_all(
    config: VllmConfig, served: Served, loop: BackgroundLoop, weight_version: int
) -> ReplicatedEngine:
    """The replicas at `config.urls`, once all of them answer."""
    needed = needed_settings(served.model_path, served.dtype, served.max_model_tokens)

    def reach(url: str, version: int) -> RemoteEngine | None:
        try:
            return loop.run(connect(url, loop, token(), needed, version))
        except EngineLost as loss:
            logger.info("not there yet: %s", loss)
            return None

    found = loop.run(_all_within(config, loop, needed, weight_version))
    return ReplicatedEngine(found, reach, loop, patience(config))


async def _all_within(
    config: VllmConfig, loop: BackgroundLoop, needed: Settings, weight_version: int
) -> dict[str, PolicyEngine]:
    end = time.monotonic() + config.start_seconds
    found: dict[str, PolicyEngine] = {}
    try:
        for url in config.urls:
            found[url] = await _within(end, url, loop, needed, weight_version)
    except BaseException:
        for engine in found.values():
            await engine.close()
        raise
    return found


async def _within(
    end: float, url: str, loop: BackgroundLoop, needed: Settings, weight_version: int
) -> RemoteEngine:
    """The replica at `url`; until `end`, on `time.monotonic`, it may still be starting."""
    while True:
        try:
            return await connect(url, loop, token(), needed, weight_version)
        except EngineLost:
            if time.monotonic() >= end:
                raise
        await asyncio.sleep(POLL_SECONDS)


def patience(config: VllmConfig) -> Patience:
    """When one replica counts as hung, and how often it may be lost."""
    return Patience(
        hang_seconds=config.hang_seconds,
        max_restarts=config.max_restarts,
        window_seconds=config.restart_window_seconds,
    )
