"""An engine in virtual time that is slow, has few slots, dies and hangs; it samples nothing."""

import asyncio
import bisect
import math

import numpy as np

from data.types import Completion, Finish, Span
from rollout.engine import EngineLost


class Weights:
    """A transfer into a timed engine; it takes no time."""

    def __init__(self, engine):
        self.engine = engine

    def start(self): ...

    def finish(self, version):
        self.engine.publish(version)

    def close(self): ...


class TimedEngine:
    """A mortal engine that samples a token per request in 0.1 s, `slots` requests at a time.

    `answer(sampling, version)` says what a request gets that starts under these weights: its tokens
    [T], their text and why they end.
    """

    name, seconds_per_token = "timed", 0.1

    def __init__(self, loop, slots, answer):
        self.death, self.killed = "", ""
        self._loop, self._answer = loop, answer
        self._slots = asyncio.Semaphore(slots)
        self._published_at, self._versions = [loop.time()], [0]
        self._hung = False
        self._ends = {}
        self._aborted = set()

    @property
    def weight_version(self):
        return self._versions[-1]

    @property
    def tokens_received(self):
        return 0 if self._hung else self._loop.time()

    def publish(self, version):
        self._published_at.append(self._loop.time())
        self._versions.append(version)

    async def sample(self, prompt, sampling):
        async with self._slots:
            if self.killed:
                raise EngineLost(self.killed)
            start = self._loop.time()
            tokens, text, finish = self._answer(sampling, self.weight_version)
            end = start + len(tokens) * self.seconds_per_token
            if sampling.id not in self._aborted:
                await self._until(sampling.id, end)
            if sampling.id in self._aborted and self._loop.time() < end:
                num_tokens = int((self._loop.time() - start) / self.seconds_per_token)
                tokens, finish = tokens[:num_tokens], Finish.ABORTED
        return Completion(
            id=sampling.id,
            text=text,
            token_ids=np.array(tokens, np.int32),
            logprobs=np.zeros(len(tokens), np.float32),
            limit=sampling.limit,
            finish=finish,
            spans=tuple(self._spans(start, len(tokens))),
        )

    async def abort(self, request_id):
        """What waits for its turn has no tokens when it comes."""
        self._aborted.add(request_id)
        if request_id in self._ends:
            self._end(self._ends[request_id])

    async def _until(self, request_id, when):
        end = self._ends[request_id] = self._loop.create_future()
        timer = self._loop.call_at(when, self._end, end)
        try:
            await end
        finally:
            timer.cancel()
            del self._ends[request_id]

    def _end(self, end):
        if not end.done() and not self._hung:
            end.set_result(None)

    def _spans(self, start, num_tokens):
        """Token i is of the weights that were there at `start` + 0.1 i seconds."""
        begin, first = 0, bisect.bisect(self._published_at, start) - 1
        ends = [(when - start) / self.seconds_per_token for when in self._published_at[first + 1 :]]
        for version, end in zip(self._versions[first:], [*ends, num_tokens], strict=True):
            stop = min(math.ceil(end), num_tokens)
            if stop > begin:
                yield Span(start=begin, stop=stop, weight_version=version)
                begin = stop

    def die(self):
        self.death = "killed by SIGKILL"

    def hang(self):
        self._hung = True

    async def kill(self, why):
        self.killed = why
        for end in self._ends.values():
            if not end.done():
                end.set_exception(EngineLost(why))

    async def close(self):
        await self.kill("the timed engine is closed")
