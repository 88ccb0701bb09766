"""Samples the completions of a prompt as one tree (TreePO): what they share is sampled once.

Flow: `TreeState` says which segments start -> each is an ordinary request behind the prompt and the
path's tokens, which the engine finds in its prefix cache -> `TreeState` hears of its end -> a leaf
is the next completion of the group. No segment waits for another.
"""

import asyncio
from collections.abc import Awaitable, Sequence
from dataclasses import replace
from functools import partial
from random import Random

from data.types import Completion, Prompt
from rollout.continuation import Decode, extended
from rollout.engine import Engine, SampleGroup, Sampling
from rollout.seeds import derived_seed
from rollout.trees.config import TreeConfig
from rollout.trees.options import growth_of
from rollout.trees.segments import leaf_completion, token_ids
from rollout.trees.state import Growth, Moves, Start, TreeState


def tree_sampling(config: TreeConfig, decode: Decode) -> SampleGroup:
    """Samples groups as trees: one leaf for each sampling.

    The samplings of a call differ in id and seed only. Leaves take their ids in the order in which
    they end. A leaf that stopped by itself, or because its answer stands (`stop_at_answer`), has
    `Finish.STOP`; `Finish.LIMIT` is the sampling's limit and no other.
    """
    return partial(_sample, growth_of(config, decode), decode)


def _sample(
    growth: Growth,
    decode: Decode,
    engine: Engine,
    prompt: Prompt,
    samplings: Sequence[Sampling],
) -> Sequence[Awaitable[Completion]]:
    first = samplings[0]
    random = Random(first.seed)
    state = TreeState(first.id, len(samplings), first.limit, growth, random)
    tree = _Tree(engine, prompt, samplings, state, decode)
    return [tree.leaf(slot) for slot in range(len(samplings))]


class _Tree:
    """The requests of one tree, on the running event loop, and its leaves as they come."""

    def __init__(
        self,
        engine: Engine,
        prompt: Prompt,
        samplings: Sequence[Sampling],
        state: TreeState,
        decode: Decode,
    ) -> None:
        self._engine = engine
        self._prompt = prompt
        self._samplings = samplings
        self._state = state
        self._decode = decode
        loop = asyncio.get_running_loop()
        self._leaves: list[asyncio.Future[Completion]] = [loop.create_future() for _ in samplings]
        self._num_ended = 0
        self._tasks: set[asyncio.Task[None]] = set()
        self._launch(state.begin())

    async def leaf(self, slot: int) -> Completion:
        """The leaf that is number `slot` to end. Whoever is cancelled here cancels the tree."""
        try:
            return await self._leaves[slot]
        except asyncio.CancelledError:
            tasks = self._cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
            raise

    def _launch(self, starts: Sequence[Start]) -> None:
        for start in starts:
            task = asyncio.create_task(self._segment(start))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _segment(self, start: Start) -> None:
        first = self._samplings[0]
        sampling = replace(
            first, id=start.id, limit=start.limit, seed=segment_seed(first.seed, start.id)
        )
        prompt = extended(self._prompt, token_ids(start.segments))
        completion = await self._engine.sample(prompt, sampling)
        # An engine may answer under another id, when the request was lost and asked again.
        self._follow(self._state.ended(start.id, completion))

    def _follow(self, moves: Moves) -> None:
        self._launch(moves.starts)
        if moves.leaf is not None:
            sampling = self._samplings[self._num_ended]
            completion = leaf_completion(moves.leaf, sampling, self._decode)
            self._leaves[self._num_ended].set_result(completion)
            self._num_ended += 1

    def _done(self, task: asyncio.Task[None]) -> None:
        """A segment that failed fails the leaves to come, one that was cancelled cancels them."""
        self._tasks.discard(task)
        error = None if task.cancelled() else task.exception()
        if error is not None:
            for leaf in self._leaves[self._num_ended :]:
                if not leaf.done():
                    leaf.set_exception(error)
        if error is not None or task.cancelled():
            self._cancel()

    def _cancel(self) -> list[asyncio.Task[None]]:
        """Ends what runs; returns the requests that are yet to notice."""
        for task in self._tasks:
            task.cancel()
        for leaf in self._leaves:
            leaf.cancel()
        return list(self._tasks)


def segment_seed(seed: int | None, segment_id: str) -> int | None:
    """The seed of one segment, from the tree's seed and the id; None stays."""
    return None if seed is None else derived_seed(seed, segment_id)
