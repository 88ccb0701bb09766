"""Requests that start in the same turn of the event loop are placed together.

A caller that starts many starts them in one turn; placed one by one, the longest could not be
first.
"""

import asyncio
from collections.abc import Callable, Sequence

from rollout.replication.assignment import Task

Place = Callable[[Sequence[Task]], list[int]]
"""A replica for each task."""


class Arrivals:
    """Gathers tasks until the turn ends, then has them placed by `place`, whose error all get."""

    def __init__(self, place: Place) -> None:
        self._place = place
        self._arrived: list[tuple[Task, asyncio.Future[int]]] = []

    async def join(self, task: Task) -> int:
        """The replica of `task`."""
        loop = asyncio.get_running_loop()
        if not self._arrived:
            loop.call_soon(self._settle)
        replica: asyncio.Future[int] = loop.create_future()
        self._arrived.append((task, replica))
        return await replica

    def _settle(self) -> None:
        waiting = [(task, replica) for task, replica in self._arrived if not replica.done()]
        self._arrived = []
        try:
            places = self._place([task for task, _ in waiting])
        except Exception as error:
            for _, replica in waiting:
                replica.set_exception(error)
            return
        for (_, replica), place in zip(waiting, places, strict=True):
            replica.set_result(place)
