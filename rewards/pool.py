"""The pool of worker processes that judge answers, each answer with a hard deadline.

Flow of `ask`: a free worker (started, or replaced, if need be) -> the job is loaded there once ->
one request, one reply (`rewards.worker`). A worker that misses its deadline is killed with all its
children; the next answer gets a new one. What has no result raises `AnswerFailed`, which is never
'wrong'.
"""

import asyncio
import logging
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import Any

import msgspec

import rewards.worker
from rewards.config import VerifierConfig
from rewards.worker import Call, Load, Reply, Request, Setup, frame

logger = logging.getLogger(__name__)

WORKER = Path(rewards.worker.__file__)
START_SECONDS = 120.0
"""Time that a new worker may take to start, and to load a job: a user's module may import torch."""
GIB = 1 << 30


class AnswerFailed(Exception):
    """An answer has no result: it took too long, the function raised, or its process ended."""


class PoolError(RuntimeError):
    """The worker processes cannot start, or cannot load what they are to run."""


@dataclass(frozen=True, slots=True, eq=False, kw_only=True)
class Job:
    """What workers are asked to do: in each of them `loader(**args)` makes the function, once."""

    loader: str
    """`module:function`, importable in the worker, whose path is this process's."""
    args: dict[str, Any] = field(default_factory=dict)


class WorkerPool:
    """At most `workers` processes, which start with the first answer that needs one.

    All calls come from one event loop. `memory_gib` bounds the address space of each process, 0
    leaves it unbounded.
    """

    def __init__(self, *, workers: int, timeout_seconds: float, memory_gib: float) -> None:
        self.timeout_seconds = timeout_seconds
        self.busy_seconds = 0.0
        """Seconds of judging so far, summed over the workers."""
        self._memory_bytes = int(memory_gib * GIB)
        self._free: asyncio.LifoQueue[_Worker | None] = asyncio.LifoQueue()
        for _ in range(workers):
            self._free.put_nowait(None)
        self._workers: set[_Worker] = set()

    async def ask(self, job: Job, payload: bytes, seconds: float | None = None) -> Any:
        """What the function of `job` returns for `payload`, within `seconds` of its start.

        Without `seconds` the pool's `timeout_seconds` hold. Raises `AnswerFailed` when there is no
        result, `PoolError` when no process starts or the job cannot be loaded.
        """
        worker = await self._free.get()
        try:
            worker = await self._ready(worker, job)
            start = perf_counter()
            try:
                call = Call(worker.jobs[job], payload)
                return await worker.request(call, seconds or self.timeout_seconds)
            finally:
                self.busy_seconds += perf_counter() - start
        finally:
            self._free.put_nowait(self._usable(worker))

    async def check(self, jobs: Sequence[Job]) -> None:
        """Raises `PoolError` when a worker cannot start or load one of `jobs`."""
        worker = await self._free.get()
        try:
            for job in jobs:
                worker = await self._ready(worker, job)
        finally:
            self._free.put_nowait(self._usable(worker))

    async def close(self) -> None:
        """Ends the processes; a later `ask` starts new ones."""
        for worker in self._workers:
            worker.kill()
        self._workers.clear()

    async def _ready(self, worker: "_Worker | None", job: Job) -> "_Worker":
        """`worker`, or a new one in its place, with `job` loaded."""
        worker = self._usable(worker) or await self._start()
        if job not in worker.jobs:
            try:
                await worker.load(job)
            except AnswerFailed as error:
                raise PoolError(str(error).removeprefix("raised ValueError: ")) from error
        return worker

    def _usable(self, worker: "_Worker | None") -> "_Worker | None":
        """`worker` if it can take a request; one that cannot is ended and forgotten."""
        if worker is None or worker.usable:
            return worker
        worker.kill()
        self._workers.discard(worker)
        return None

    async def _start(self) -> "_Worker":
        try:
            worker = await _Worker.start()
            self._workers.add(worker)
            await worker.request(Setup(sys.path, self._memory_bytes), START_SECONDS)
        except (OSError, AnswerFailed) as error:
            raise PoolError(
                f"the process that judges answers does not start ({error}): "
                f"{sys.executable} {WORKER}; free memory and processes, or set verifier.memory_gib"
            ) from error
        return worker


def make_pool(config: VerifierConfig) -> WorkerPool:
    """The pool that a `verifier` section describes; close it when all answers are judged."""
    return WorkerPool(
        workers=config.workers,
        timeout_seconds=config.timeout_seconds,
        memory_gib=config.memory_gib,
    )


@dataclass(eq=False, slots=True)
class _Worker:
    """One process and our end of its socket."""

    process: subprocess.Popen[bytes]
    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter
    jobs: dict[Job, int] = field(default_factory=dict)
    waiting: bool = False
    """A request has no reply: the next one read would be the wrong one's."""

    @classmethod
    async def start(cls) -> "_Worker":
        ours, theirs = socket.socketpair()
        with theirs:
            # A session of its own: an interrupt at the terminal is the run's, and killing the
            # group ends whatever a user's function has started.
            process = subprocess.Popen(
                [sys.executable, "-P", str(WORKER), str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                start_new_session=True,
            )
        return cls(process, *await asyncio.open_connection(sock=ours))

    @property
    def usable(self) -> bool:
        return not self.waiting and self.process.poll() is None

    async def load(self, job: Job) -> None:
        number = len(self.jobs)
        await self.request(Load(number, job.loader, job.args), START_SECONDS)
        self.jobs[job] = number

    async def request(self, request: Request, seconds: float) -> Any:
        """The reply's value; raises `AnswerFailed` with the reason when there is none in time."""
        self.waiting = True
        try:
            async with asyncio.timeout(seconds):
                self.writer.write(frame(msgspec.msgpack.encode(request)))
                size = int.from_bytes(await self.reader.readexactly(4))
                payload = await self.reader.readexactly(size)
        except TimeoutError:
            raise AnswerFailed(f"timed out: no result within {seconds:g} s") from None
        except (asyncio.IncompleteReadError, ConnectionError):
            raise AnswerFailed(f"died: {self._end()}") from None
        self.waiting = False
        reply = msgspec.msgpack.decode(payload, type=Reply)
        if reply.failure:
            raise AnswerFailed(f"raised {reply.failure}")
        return reply.value

    def kill(self) -> None:
        """Ends the process and its children; waits, so that no zombie is left."""
        if self.process.poll() is None:
            os.killpg(self.process.pid, signal.SIGKILL)
        self.process.wait()
        self.writer.close()

    def _end(self) -> str:
        """How the process ended, its socket being closed."""
        try:
            code = self.process.wait(timeout=1)
        except subprocess.TimeoutExpired:
            return "the worker process closed its connection"
        how = f"signal {-code} ({signal.Signals(-code).name})" if code < 0 else f"exit code {code}"
        return f"the worker process ended by {how}"
