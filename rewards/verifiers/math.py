"""The math verifier: a completion's boxed answer against the reference, by math_verify.

Flow: `boxed_answer(text)` -> identical integers are judged at once -> the cache -> a worker process
with a deadline (`rewards.pool`), asked once for equal answers that are under way together. Where no
worker could tell, the verdict is None, not 'wrong'.
"""

import asyncio
import re
from collections import OrderedDict
from dataclasses import dataclass

import msgspec

from data.types import Completion, Prompt, Verdict
from rewards.answers import NO_BOX, boxed_answer, did_not_end
from rewards.config import VerifierConfig
from rewards.pool import AnswerFailed, Job, WorkerPool

CACHE_SIZE = 100_000
INTEGER = re.compile(r"-?[1-9][0-9]{0,8}|0")
"""Integers in the one spelling that math_verify compares exactly."""


@dataclass(kw_only=True)
class MathConfig(VerifierConfig):
    """`verifier: math`: a boxed answer, compared by math_verify."""


def build_verifier(config: MathConfig, pool: WorkerPool) -> "MathVerifier":
    return MathVerifier(pool)


def integers_equal(reference: str, answer: str) -> bool | None:
    """Equality where both are plainly written integers, as math_verify finds it; else None."""
    if INTEGER.fullmatch(reference) and INTEGER.fullmatch(answer):
        return reference == answer
    return None


class MathVerifier:
    """Judges boxed answers in the pool's processes; a completion that did not end is wrong."""

    def __init__(self, pool: WorkerPool) -> None:
        self._pool = pool
        self._job = Job(loader="rewards.verifiers.latex:load")
        self._cache: OrderedDict[tuple[str, str], Verdict] = OrderedDict()
        self._under_way: dict[tuple[str, str], asyncio.Task[Verdict]] = {}

    async def __call__(self, prompt: Prompt, completion: Completion) -> Verdict:
        if verdict := did_not_end(completion):
            return verdict
        answer = boxed_answer(completion.text)
        if answer is None:
            return NO_BOX
        return await self.compare(boxed_answer(prompt.answer) or prompt.answer, answer)

    async def compare(self, reference: str, answer: str) -> Verdict:
        """Whether `answer` equals `reference`; None when no worker could tell in time."""
        reference = reference.strip()
        same = integers_equal(reference, answer)
        if same is not None:
            return Verdict(correct=same)
        key = reference, answer
        if key in self._cache:
            self._cache.move_to_end(key)
            return self._cache[key]
        if key not in self._under_way:
            self._under_way[key] = asyncio.create_task(self._ask(key))
            self._under_way[key].add_done_callback(lambda task: self._under_way.pop(key))
        # Samples of one prompt give one answer at one time; a caller may go, the others stay.
        return await asyncio.shield(self._under_way[key])

    async def _ask(self, key: tuple[str, str]) -> Verdict:
        try:
            equal = await self._pool.ask(self._job, msgspec.msgpack.encode(key))
        except AnswerFailed as error:
            return Verdict(correct=None, reason=str(error))
        self._cache[key] = Verdict(correct=equal)
        if len(self._cache) > CACHE_SIZE:
            self._cache.popitem(last=False)
        return self._cache[key]
