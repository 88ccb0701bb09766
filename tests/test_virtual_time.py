import asyncio

import pytest

from tests.virtual_time import Deadlock, VirtualEvent, VirtualLoop


async def say_after(seconds, word, said):
    await asyncio.sleep(seconds)
    said.append((word, asyncio.get_running_loop().time()))


async def say_all(said, *delays):
    await asyncio.gather(*(say_after(seconds, word, said) for word, seconds in delays))


def test_hours_pass_at_once_and_in_the_order_of_their_timers():
    said, loop = [], VirtualLoop()
    loop.run(say_all(said, ("late", 7200.0), ("early", 60.0)))
    assert said == [("early", 60.0), ("late", 7200.0)]
    assert loop.time() == 7200.0


def test_a_result_and_an_error_come_back():
    async def answer():
        return 7

    async def fail():
        raise ZeroDivisionError("planted")

    loop = VirtualLoop()
    assert loop.run(answer()) == 7
    with pytest.raises(ZeroDivisionError, match="planted"):
        loop.run(fail())


def test_waiting_for_what_never_comes_is_a_deadlock():
    async def wait():
        await asyncio.Event().wait()

    with pytest.raises(Deadlock, match="at 3 s"):
        loop = VirtualLoop()
        loop.run(asyncio.sleep(3))
        loop.run(wait())


def test_waiting_beside_something_that_ticks_for_ever_is_a_deadlock_too():
    async def tick():
        while True:
            await asyncio.sleep(1.0)

    loop = VirtualLoop(most_seconds=50.0)
    loop.submit(tick())
    with pytest.raises(Deadlock, match="still waiting at 50 s"):
        loop.run_until(lambda: False)


def test_an_error_in_a_callback_ends_the_run():
    loop = VirtualLoop()
    loop.call_later(1.0, lambda: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        loop.run(asyncio.sleep(2.0))


def test_the_seed_draws_the_order_of_what_is_ready_together():
    def order(seed):
        said = []
        VirtualLoop(seed).run(say_all(said, *((word, 1.0) for word in "abcdef")))
        return "".join(word for word, _ in said)

    assert order(1) == order(1)
    assert len({order(seed) for seed in range(10)}) == 10
    assert all(sorted(order(seed)) == list("abcdef") for seed in range(10))


def test_a_cancelled_timer_moves_no_clock():
    async def impatient():
        with pytest.raises(TimeoutError):
            await asyncio.wait_for(asyncio.sleep(100.0), timeout=2.0)

    loop = VirtualLoop()
    loop.run(impatient())
    loop.run(asyncio.sleep(1.0))
    assert loop.time() == 3.0


def test_what_was_submitted_goes_on_only_while_somebody_waits():
    said, loop = [], VirtualLoop()
    loop.submit(say_after(5.0, "five", said))
    assert loop.time() == 0.0 and said == []
    loop.run(asyncio.sleep(10.0))
    assert said == [("five", 5.0)]


def test_an_event_is_waited_for_in_virtual_time():
    loop = VirtualLoop()
    event = VirtualEvent(loop)
    loop.call_later(4.0, event.set)
    event.wait()
    assert loop.time() == 4.0
    event.clear()
    with pytest.raises(Deadlock):
        event.wait()
