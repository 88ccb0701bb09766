"""An event loop without waiting: its clock jumps to the next timer.

Real streams and supervisors run on it, on one thread and the same way for the same seed. Callbacks
that are ready together run in a drawn order, so that nothing can lean on one.
"""

import asyncio
import heapq
import itertools
import random
import time
from contextlib import contextmanager
from types import SimpleNamespace

from rollout import supervisor as supervisor_module


class Deadlock(AssertionError):
    """Somebody waits, nothing is ready and no timer is set: in real time this is a hang."""


class VirtualLoop(asyncio.AbstractEventLoop):
    """Stands where a `BackgroundLoop` does; whoever calls `run` drives it until its answer is in.

    Between two calls no time passes; a caller that is busy for a while runs `asyncio.sleep`.
    """

    closed = False

    def __init__(self, seed=0, most_seconds=float("inf")):
        """`most_seconds`: when to give up waiting where something ticks for ever."""
        self._most_seconds = most_seconds
        self._random = random.Random(seed)
        self._now = 0.0
        self._ready = []
        self._timers = []
        self._serial = itertools.count()

    def run(self, coroutine):
        """The coroutine's result; everything else on the loop runs meanwhile."""
        task = self.create_task(coroutine)
        self.run_until(task.done)
        return task.result()

    def submit(self, coroutine):
        """Starts `coroutine`; it goes on whenever somebody drives the loop."""
        return asyncio.run_coroutine_threadsafe(coroutine, self)

    def run_until(self, reached):
        """Drives the loop until `reached()`; raises `Deadlock` when that can never be."""
        before = asyncio._get_running_loop()
        asyncio._set_running_loop(self)
        try:
            while not reached():
                self._run_one()
        finally:
            asyncio._set_running_loop(before)

    def run_ready(self):
        """Runs what can run before any time passes."""
        self.run_until(lambda: not self._ready)

    def _run_one(self):
        if not self._ready:
            self._jump()
        chosen = self._random.randrange(len(self._ready))
        self._ready[chosen], self._ready[-1] = self._ready[-1], self._ready[chosen]
        handle = self._ready.pop()
        if not handle.cancelled():
            handle._run()

    def _jump(self):
        """To the next timer, and all that are due with it."""
        while self._timers and self._timers[0][2].cancelled():
            heapq.heappop(self._timers)
        if not self._timers:
            raise Deadlock(f"nothing can happen any more at {self._now:g} s")
        if self._timers[0][0] > self._most_seconds:
            raise Deadlock(f"still waiting at {self._now:g} s")
        self._now = self._timers[0][0]
        while self._timers and self._timers[0][0] <= self._now:
            self._ready.append(heapq.heappop(self._timers)[2])

    def time(self):
        return self._now

    def call_soon(self, callback, *args, context=None):
        handle = asyncio.Handle(callback, args, self, context)
        self._ready.append(handle)
        return handle

    call_soon_threadsafe = call_soon

    def call_at(self, when, callback, *args, context=None):
        handle = asyncio.TimerHandle(when, callback, args, self, context)
        heapq.heappush(self._timers, (when, next(self._serial), handle))
        return handle

    def call_later(self, delay, callback, *args, context=None):
        return self.call_at(self._now + delay, callback, *args, context=context)

    def create_future(self):
        return asyncio.Future(loop=self)

    def create_task(self, coro, *, name=None, context=None):
        return asyncio.Task(coro, loop=self, name=name, context=context)

    def call_exception_handler(self, context):
        """A callback's error ends the run; what a finalizer says could reach nobody."""
        if "handle" in context:
            raise context["exception"]

    def get_debug(self):
        return False

    def _timer_handle_cancelled(self, handle): ...


class VirtualEvent:
    """A `threading.Event` for the one thread of a `VirtualLoop`: to wait is to drive the loop."""

    def __init__(self, loop):
        self._loop = loop
        self._is_set = False

    def set(self):
        self._is_set = True

    def clear(self):
        self._is_set = False

    def wait(self):
        self._loop.run_until(lambda: self._is_set)


@contextmanager
def supervised_in_virtual_time(loop):
    """The supervisor's clock and its waiting, which it takes from `time` and `threading`."""
    before = supervisor_module.time, supervisor_module.threading
    supervisor_module.time = SimpleNamespace(monotonic=loop.time, strftime=time.strftime)
    supervisor_module.threading = SimpleNamespace(Event=lambda: VirtualEvent(loop))
    try:
        yield
    finally:
        supervisor_module.time, supervisor_module.threading = before
