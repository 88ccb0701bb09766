"""What vLLM's workers are told before they draft, in a run's own engine and in a served replica."""

from collections.abc import Awaitable, Callable
from dataclasses import asdict
from typing import Any

from rollout.config import Speculation, VllmConfig
from rollout.vllm.guards import check_speculation


async def start_speculation(config: VllmConfig, call: Callable[..., Awaitable[list[Any]]]) -> None:
    """Checks the workers, and has them draft as the recipe says.

    `call(method, **arguments)` asks every worker (`WorkerExtension`). Raises `EngineError` where
    drafts would be verified wrongly.
    """
    if config.speculation is Speculation.none:
        return
    check_speculation(await call("laconic_speculation_problem"))
    await call("laconic_skip_empty_verification")
    if config.speculation is Speculation.history:
        await call("laconic_start_history", settings=asdict(config.history))
