"""An event loop in a daemon thread: rewards are called, and wait, while verifiers are awaited.

It works where the caller's thread has a running loop of its own, as a notebook's has.
"""

import asyncio
import threading
from collections.abc import Awaitable
from typing import TypeVar

T = TypeVar("T")


def start_loop(name: str) -> asyncio.AbstractEventLoop:
    """A loop that runs until the process ends."""
    loop = asyncio.new_event_loop()
    threading.Thread(target=loop.run_forever, name=name, daemon=True).start()
    return loop


def wait_for(loop: asyncio.AbstractEventLoop, awaitable: Awaitable[T]) -> T:
    """The result of `awaitable`, run on `loop`; an interrupt of the caller cancels it there."""

    async def result() -> T:
        return await awaitable

    future = asyncio.run_coroutine_threadsafe(result(), loop)
    try:
        return future.result()
    except BaseException:
        future.cancel()
        raise
