"""The verifier: a completion's boxed answer against the reference, by math_verify in processes.

Flow: `boxed_answer(text)` -> identical integers are judged at once -> the cache -> a worker process
(`rewards.worker`) with a deadline. A worker that hangs or dies is replaced; its answer's verdict is
None, which is not 'wrong'.
"""

import asyncio
import re
import socket
import subprocess
import sys
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path

import msgspec

import rewards.worker
from data.types import Completion, Finish, Prompt, Verdict
from rewards.config import VerifierConfig

WORKER = Path(rewards.worker.__file__)
START_SECONDS = 60.0
"""Time that a new worker may take to import math_verify and judge its first answer."""
CACHE_SIZE = 100_000
INTEGER = re.compile(r"-?[1-9][0-9]{0,8}|0")
"""Integers in the one spelling that math_verify compares exactly."""

BRACE = re.compile(r"\\.|[{}]", re.DOTALL)
"""A brace, or an escaped character, which is none."""

NO_BOX = Verdict(correct=False, reason="no boxed answer")


@dataclass(kw_only=True)
class MathConfig(VerifierConfig):
    """`verifier: math`: a boxed answer, compared by math_verify."""


def boxed_answer(text: str) -> str | None:
    r"""The content of the last closed `\boxed{...}` after the last `</think>`, None without one."""
    final = text.rpartition("</think>")[2]
    start = final.rfind("\\boxed{")
    while start != -1:
        content = _braced(final, start + len("\\boxed{"))
        if content is not None:
            return content.strip()
        start = final.rfind("\\boxed{", 0, start)
    return None


def integers_equal(reference: str, answer: str) -> bool | None:
    """Equality where both are plainly written integers, as math_verify finds it; else None."""
    if INTEGER.fullmatch(reference) and INTEGER.fullmatch(answer):
        return reference == answer
    return None


def build_verifier(config: MathConfig) -> "MathVerifier":
    return MathVerifier(config)


class MathVerifier:
    """Judges completions in `workers` processes, which start with the first answer that needs one.

    All calls come from one event loop. A completion that did not end by itself is wrong: methods
    and benchmarks count a truncated answer so, even where a box stands in it.
    """

    def __init__(self, config: VerifierConfig) -> None:
        self._config = config
        self._cache: OrderedDict[tuple[str, str], Verdict] = OrderedDict()
        self._idle: asyncio.Queue[_Worker | None] | None = None
        self._workers: set[_Worker] = set()

    async def __call__(self, prompt: Prompt, completion: Completion) -> Verdict:
        if completion.finish is not Finish.STOP:
            return Verdict(correct=False, reason=f"ended by {completion.finish.value}")
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
        verdict = await self._ask(reference, answer)
        if verdict.correct is not None:
            self._cache[key] = verdict
            if len(self._cache) > CACHE_SIZE:
                self._cache.popitem(last=False)
        return verdict

    async def close(self) -> None:
        """Ends the worker processes."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()
        self._idle = None

    async def _ask(self, reference: str, answer: str) -> Verdict:
        if self._idle is None:
            self._idle = asyncio.Queue()
            for _ in range(self._config.workers):
                self._idle.put_nowait(None)
        idle = self._idle
        worker = await idle.get()
        try:
            worker = worker or await self._start()
            verdict = await worker.compare(reference, answer, self._config.timeout_seconds)
        except BaseException:
            # A cancelled caller leaves a reply under way, so that worker cannot be used again.
            self._discard(worker)
            idle.put_nowait(None)
            raise
        if worker.alive:
            idle.put_nowait(worker)
        else:
            self._discard(worker)
            idle.put_nowait(None)
        return verdict

    async def _start(self) -> "_Worker":
        worker = await _Worker.start()
        self._workers.add(worker)
        return worker

    def _discard(self, worker: "_Worker | None") -> None:
        if worker is not None:
            worker.kill()
            self._workers.discard(worker)


@dataclass(eq=False, slots=True)
class _Worker:
    """One process and our end of its socket."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    alive: bool = True

    @classmethod
    async def start(cls) -> "_Worker":
        ours, theirs = socket.socketpair()
        with theirs:
            process = subprocess.Popen(
                [sys.executable, "-P", str(WORKER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
            )
        worker = cls(process, *await asyncio.open_connection(sock=ours))
        ready = await worker.compare("1", "x", START_SECONDS)
        if ready.correct is None:
            worker.kill()
            raise RuntimeError(f"the answer checker does not start ({ready.reason}): {WORKER}")
        return worker

    async def compare(self, reference: str, answer: str, seconds: float) -> Verdict:
        payload = msgspec.msgpack.encode((reference, answer))
        try:
            async with asyncio.timeout(seconds):
                self.writer.write(len(payload).to_bytes(4) + payload)
                size = int.from_bytes(await self.reader.readexactly(4))
                reply = await self.reader.readexactly(size)
        except TimeoutError:
            self.alive = False
            return Verdict(correct=None, reason=f"no verdict within {seconds:g} s")
        except (asyncio.IncompleteReadError, ConnectionError):
            self.alive = False
            return Verdict(correct=None, reason="the checker's process ended")
        correct, reason = msgspec.msgpack.decode(reply, type=tuple[bool | None, str])
        return Verdict(correct=correct, reason=reason)

    def kill(self) -> None:
        self.alive = False
        self.process.kill()
        self.process.wait()
        self.writer.close()


def _braced(text: str, start: int) -> str | None:
    """`text` from `start` up to the brace that closes the one before `start`."""
    depth = 1
    for mark in BRACE.finditer(text, start):
        depth += {"{": 1, "}": -1}.get(mark[0], 0)
        if depth == 0:
            return text[start : mark.start()]
    return None
