"""An engine whose completions stop at a window's end and go on in the next step.

Flow of a completion: a request to the engine for one window -> parked -> `release`, once the step's
weights are published -> the next request, whose prompt ends with the tokens so far -> ... -> whole.
`WindowPool` decides all of this; here it is awaited. All of it runs on the engine's event loop.

With synchronous steps a rollout ends when the pool is settled: see `on_settled`. What is parked
then has no place in this step's groups, and its group stays open until the last member is whole.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from data.types import Completion, Prompt
from rollout.engine import EngineError, InterruptibleEngine, Sampling
from rollout.windows.pool import WindowPool


class WindowedEngine:
    """Keeps the engine's contract: `sample` returns whole completions, over several steps.

    `on_settled` is called whenever the last running window has ended, whole or parked; an
    `asyncio.Event`'s `set` turns it into something to wait for. Of a completion that continues,
    every window is a span of its own, under its own weight versions.
    """

    def __init__(self, engine: InterruptibleEngine, pool: WindowPool) -> None:
        self.on_settled: Callable[[], None] = lambda: None
        self._engine = engine
        self._pool = pool
        self._gates: dict[str, asyncio.Future[Completion | None]] = {}

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def weight_version(self) -> int:
        return self._engine.weight_version

    @property
    def num_parked(self) -> int:
        """Completions that wait for `release`; with all that runs parked, a step has no more."""
        return len(self._pool.parked)

    @property
    def begun(self) -> list[Completion]:
        """What there is of the completions that are parked."""
        return [partial.begun for partial in self._pool.parked if partial.begun]

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; raises ValueError for an id that is in use."""
        runs = self._pool.open(prompt, sampling)
        try:
            while True:
                if not runs and (given_up := await self._behind_gate(sampling.id)):
                    return given_up
                piece = await self._engine.sample(*self._pool.request(sampling.id))
                whole = self._pool.ended(sampling.id, piece)
                if whole is not None:
                    return whole
                runs = False
        finally:
            self._pool.drop(sampling.id)
            self._tell()

    def release(self) -> None:
        """Everything that is parked goes on; called at each step, with its weights published."""
        for completion_id in self._pool.release():
            self._open_gate(completion_id, None)

    async def cut(self) -> None:
        """Parks what runs, with the tokens so far: the rest of the batch is not waited for."""
        await asyncio.gather(*(self._engine.abort(name) for name in self._pool.cut()))

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`; the tokens of earlier windows are returned as well."""
        running = self._pool.running(request_id)
        if running is not None:
            await self._engine.abort(running.request_id)
        elif request_id in self._gates and not self._gates[request_id].done():
            self._open_gate(request_id, self._pool.give_up(request_id))

    def state(self) -> dict[str, Any]:
        """What has begun, for a checkpoint (`WindowPool.state`)."""
        return self._pool.state()

    def load(self, state: dict[str, Any]) -> None:
        """Parks what `state()` held as soon as it is asked for again."""
        self._pool.load(state)

    async def close(self) -> None:
        """See `Engine.close`; what is parked ends with an error, too."""
        for gate in self._gates.values():
            if not gate.done():
                gate.set_exception(EngineError(f"{self.name} is closed; start another one"))
        await self._engine.close()

    async def _behind_gate(self, completion_id: str) -> Completion | None:
        """Waits while a completion is parked; what there is of it when it is given up there."""
        gate: asyncio.Future[Completion | None] = asyncio.get_running_loop().create_future()
        self._gates[completion_id] = gate
        self._tell()
        try:
            return await gate
        finally:
            self._gates.pop(completion_id, None)

    def _open_gate(self, completion_id: str, given_up: Completion | None) -> None:
        gate = self._gates[completion_id]
        if not gate.done():
            gate.set_result(given_up)

    def _tell(self) -> None:
        if self._pool.settled:
            self.on_settled()
