"""Pools of worker processes for tests: one for all, since starting takes time, or one's own."""

import asyncio
from collections.abc import Callable, Coroutine
from functools import cache
from typing import Any, TypeVar

from rewards.pool import WorkerPool

T = TypeVar("T")
Use = Callable[[WorkerPool], Coroutine[Any, Any, T]]


def with_pool(use: Use[T], timeout_seconds: float = 30.0) -> T:
    """What `use` returns, given the shared pool."""
    runner, pool = shared_pool()
    pool.timeout_seconds = timeout_seconds
    return runner.run(use(pool))


def with_own_pool(
    use: Use[T], *, workers: int = 1, timeout_seconds: float = 30.0, memory_gib: float = 4.0
) -> T:
    """What `use` returns, given a pool that no other test sees and that is closed afterwards."""

    async def used() -> T:
        pool = WorkerPool(workers=workers, timeout_seconds=timeout_seconds, memory_gib=memory_gib)
        try:
            return await use(pool)
        finally:
            await pool.close()

    return asyncio.run(used())


@cache
def shared_pool() -> tuple[asyncio.Runner, WorkerPool]:
    """The pool that tests share, of two workers, and what runs its loop."""
    return asyncio.Runner(), WorkerPool(workers=2, timeout_seconds=30.0, memory_gib=4.0)


def close_shared_pool() -> None:
    if shared_pool.cache_info().currsize:
        runner, pool = shared_pool()
        runner.run(pool.close())
        runner.close()
        shared_pool.cache_clear()
