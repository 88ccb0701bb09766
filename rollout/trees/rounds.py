"""Trees in step: their segments wait for each other, so that timing does not shape what is sampled.

What runs is a round: when all of it has ended, its answers come in the order of the requests, and
what follows from them is the next round. Requests of a round start in one turn of the event loop.
"""

import asyncio
from collections.abc import Awaitable, Sequence

from data.types import Completion, Prompt
from rollout.engine import Engine, SampleGroup, Sampling


def in_step(sample_group: SampleGroup) -> SampleGroup:
    """As `sample_group`; the requests of all groups that are sampled together make rounds."""
    rounds = _Rounds()

    def sample(
        engine: Engine, prompt: Prompt, samplings: Sequence[Sampling]
    ) -> Sequence[Awaitable[Completion]]:
        return sample_group(_InStep(engine, rounds), prompt, samplings)

    return sample


class _Rounds:
    """The requests of the round that runs, on one event loop."""

    def __init__(self) -> None:
        self._num_running = 0
        self._turns: list[asyncio.Future[None]] = []

    def begin(self) -> asyncio.Future[None]:
        """A request starts; what it returns is done when its answer may be given."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._turns.append(turn)
        self._num_running += 1
        return turn

    def ended(self) -> None:
        """A request has ended, well or not."""
        self._num_running -= 1
        # Later, so that the last to end does not go on before the others.
        asyncio.get_running_loop().call_soon(self._release)

    def _release(self) -> None:
        if self._num_running:
            return
        turns, self._turns = self._turns, []
        for turn in turns:
            if not turn.done():
                turn.set_result(None)


class _InStep:
    """An engine whose answers come in rounds."""

    def __init__(self, engine: Engine, rounds: _Rounds) -> None:
        self._engine = engine
        self._rounds = rounds

    @property
    def name(self) -> str:
        return self._engine.name

    @property
    def weight_version(self) -> int:
        return self._engine.weight_version

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        turn = self._rounds.begin()
        try:
            completion = await self._engine.sample(prompt, sampling)
        finally:
            self._rounds.ended()
        await turn
        return completion

    async def close(self) -> None:
        await self._engine.close()
