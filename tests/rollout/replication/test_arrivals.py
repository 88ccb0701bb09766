import asyncio

import pytest

from rollout.replication.arrivals import Arrivals
from rollout.replication.assignment import Task


def task(name):
    return Task(request=name, prompt=name, tokens=1)


class Placer:
    """Gives the n-th task ever placed the number n, and remembers which came together."""

    def __init__(self):
        self.batches = []

    def __call__(self, tasks):
        self.batches.append([each.request for each in tasks])
        before = sum(map(len, self.batches[:-1]))
        return list(range(before, before + len(tasks)))


def test_tasks_of_one_turn_are_placed_together_and_later_ones_apart():
    placer = Placer()

    async def run():
        arrivals = Arrivals(placer)
        together = await asyncio.gather(*(arrivals.join(task(name)) for name in "abc"))
        return [*together, await arrivals.join(task("d"))]

    assert asyncio.run(run()) == [0, 1, 2, 3]
    assert placer.batches == [["a", "b", "c"], ["d"]]


def test_a_task_that_is_cancelled_in_the_same_turn_is_not_placed():
    placer = Placer()

    async def run():
        arrivals = Arrivals(placer)
        tasks = [asyncio.create_task(arrivals.join(task(name))) for name in "ab"]
        asyncio.get_running_loop().call_soon(tasks[0].cancel)
        return await asyncio.gather(*tasks, return_exceptions=True)

    cancelled, placed = asyncio.run(run())
    assert isinstance(cancelled, asyncio.CancelledError) and placed == 0
    assert placer.batches == [["b"]]


def test_all_hear_why_nothing_can_be_placed():
    def refuse(tasks):
        raise LookupError("nobody serves")

    async def run():
        arrivals = Arrivals(refuse)
        joining = (arrivals.join(task(name)) for name in "ab")
        return await asyncio.gather(*joining, return_exceptions=True)

    for failure in asyncio.run(run()):
        with pytest.raises(LookupError, match="nobody serves"):
            raise failure
