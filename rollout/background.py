"""An asyncio event loop in a thread of its own, for callers that block.

The engine and the stream live on one such loop; rank 0's main thread submits to it and waits.
"""

import asyncio
import threading
from collections.abc import Coroutine
from concurrent.futures import Future
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Runner(Protocol):
    """Waits for coroutines on a background loop: the loop itself, or a `Supervisor` over it."""

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T: ...


class BackgroundLoop:
    """Runs coroutines on an event loop in a daemon thread until it is closed."""

    def __init__(self, name: str = "rollout") -> None:
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name=name, daemon=True)
        self._thread.start()

    @property
    def is_current(self) -> bool:
        """Whether the caller runs on this loop's thread, where it must not block."""
        return threading.current_thread() is self._thread

    @property
    def closed(self) -> bool:
        return self._loop.is_closed()

    def submit(self, coroutine: Coroutine[Any, Any, T]) -> Future[T]:
        """Starts `coroutine` on the loop; cancelling the future cancels it there."""
        return asyncio.run_coroutine_threadsafe(coroutine, self._loop)

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for `coroutine`; an interrupt of the waiting thread cancels it.

        Raises RuntimeError when called on the loop's own thread, which would wait for itself.
        """
        if self.is_current:
            coroutine.close()
            raise RuntimeError("BackgroundLoop.run was called on its own thread; await instead")
        future = self.submit(coroutine)
        try:
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def close(self) -> None:
        """Cancels what still runs, ends the thread; a second call does nothing."""
        if self.closed:
            return
        self.run(_cancel_others())
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()


async def _cancel_others() -> None:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    for task in others:
        task.cancel()
    await asyncio.gather(*others, return_exceptions=True)
