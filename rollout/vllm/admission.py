"""Requests that start together reach vLLM's scheduler together, on an empty prefix cache.

vLLM begins with the first request that arrives: which of them share a forward pass, and which find
a prefix in the cache, then depends on timing, and so do the last bits of their log-probs.
"""

import asyncio
from typing import TYPE_CHECKING, Any

from rollout.engine import EngineError

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM


class Admission:
    """Gathers the requests of a burst; all of them call it on the engine's event loop.

    The first request pauses the scheduler. Those that were started in the same turn of the loop
    join meanwhile; when vLLM holds all of them, the scheduler goes on.
    """

    def __init__(self, llm: "AsyncLLM") -> None:
        self._llm = llm
        self._turn = asyncio.Lock()
        self._burst: list[asyncio.Task[Any]] = []
        self._gate: asyncio.Future[None] | None = None
        self._admitting: asyncio.Task[None] | None = None

    async def join(self) -> None:
        """Returns when the caller may hand its request to vLLM."""
        task = asyncio.current_task()
        assert task is not None
        if self._gate is None:
            self._burst = []
            self._gate = asyncio.get_running_loop().create_future()
            self._admitting = asyncio.create_task(self._admit(self._gate))
        self._burst.append(task)
        await asyncio.shield(self._gate)

    async def _admit(self, gate: "asyncio.Future[None]") -> None:
        async with self._turn:
            try:
                await self._llm.pause_generation(mode="keep", clear_cache=False)
                if not await self._llm.reset_prefix_cache():
                    raise EngineError("vLLM kept key-value blocks: requests of two bursts overlap")
                burst, self._gate = self._burst, None
                gate.set_result(None)
                while self._held() + sum(task.done() for task in burst) < len(burst):
                    await asyncio.sleep(0.001)
                await self._llm.resume_generation()
            # vLLM raises what its other process raised; requests that it holds hear of it.
            except Exception as error:
                self._gate = None
                if not gate.done():
                    gate.set_exception(EngineError(f"vLLM could not admit requests: {error}"))

    def _held(self) -> int:
        return int(self._llm.output_processor.get_num_unfinished_requests())
