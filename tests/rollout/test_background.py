import asyncio
import threading

import pytest

from rollout.background import BackgroundLoop


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


async def thread_name():
    return threading.current_thread().name


def test_coroutines_run_on_a_thread_of_their_own(loop):
    assert loop.run(thread_name()) == "rollout" != threading.current_thread().name


def test_an_error_reaches_the_caller(loop):
    async def fail():
        raise KeyError("lost")

    with pytest.raises(KeyError, match="lost"):
        loop.run(fail())


def test_waiting_on_the_loops_own_thread_is_refused(loop):
    async def inner():
        loop.run(thread_name())

    with pytest.raises(RuntimeError, match="own thread"):
        loop.run(inner())


def test_cancelling_the_future_cancels_the_coroutine(loop):
    ended = threading.Event()

    async def wait():
        try:
            await asyncio.sleep(60)
        finally:
            ended.set()

    future = loop.submit(wait())
    loop.run(asyncio.sleep(0))
    future.cancel()
    assert ended.wait(5)


def test_closing_cancels_what_still_runs_and_may_be_repeated():
    loop = BackgroundLoop()
    future = loop.submit(asyncio.sleep(60))
    loop.close()
    loop.close()
    assert loop.closed and future.cancelled()
