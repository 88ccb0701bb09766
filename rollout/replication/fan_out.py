"""The weights to all replicas at once: one pass over the learner's buckets, whatever their number.

Every replica has a transfer of its own and takes a bucket in a thread of its own, so that one that
is lost leaves the others' cycle as it is. A bucket waits for the slowest; nothing is kept.
"""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

from rollout.engine import EngineLost
from rollout.replication.engine import ReplicatedEngine
from rollout.transfer import HeldTransfer, NamedTensors

T = TypeVar("T")


class FanOut:
    """The `HeldTransfer` of a `ReplicatedEngine`; lost replicas are replaced at a cycle's start."""

    def __init__(self, engine: ReplicatedEngine, bucket_mib: int) -> None:
        self._engine = engine
        self._bucket_mib = bucket_mib
        self._transfers: dict[int, HeldTransfer] = {}
        self._threads = ThreadPoolExecutor(thread_name_prefix="weights")
        for index in engine.running():
            self._open(index)
        self._raise_if_none_runs()

    def start(self) -> bool:
        for index in self._engine.replace_lost():
            self._open(index)
        self._engine.paused()
        return all(self._each(lambda transfer: transfer.start()))

    def send(self, bucket: NamedTensors) -> None:
        self._each(lambda transfer: transfer.send(bucket))

    def turn_to_drafter(self) -> None:
        self._each(lambda transfer: transfer.turn_to_drafter())

    def finish(self, version: int) -> None:
        self._each(lambda transfer: transfer.finish(version))
        self._engine.published(version)

    def close(self) -> None:
        for transfer in self._transfers.values():
            transfer.close()
        self._transfers = {}
        self._threads.shutdown()

    def _open(self, index: int) -> None:
        if index in self._transfers:
            self._transfers.pop(index).close()
        with self._engine.call(index):
            engine = self._engine.engine_of(index)
            self._transfers[index] = engine.start_transfer(self._bucket_mib)

    def _each(self, call: Callable[[HeldTransfer], T]) -> list[T]:
        """Makes the call of every replica that runs, of all at once; the answers of those left."""
        answers: dict[int, T] = {}

        def one(index: int) -> None:
            with self._engine.call(index):
                answers[index] = call(self._transfers[index])

        for done in [self._threads.submit(one, index) for index in self._engine.running()]:
            done.result()
        self._raise_if_none_runs()
        return list(answers.values())

    def _raise_if_none_runs(self) -> None:
        if not self._engine.running():
            raise EngineLost(self._engine.death)
