"""A cluster of fake replicas behind a supervisor, with a learner that publishes versions."""

import asyncio
import time

from data.types import Prompt
from rollout.engine import Sampling
from rollout.recovery import Patience
from rollout.replication.engine import ReplicatedEngine
from rollout.supervisor import Started, Supervisor

PROMPTS = [
    Prompt(id=f"p{index}", messages=(), token_ids=[1, 2], answer="7") for index in range(100)
]


class Cluster:
    """Replicas a, b, ... behind a supervisor, with a learner that publishes nothing but versions.

    `coming` are the engines that start in the places of lost ones; an exception fails the start.
    """

    def __init__(self, loop, *replicas, hang_seconds=60.0, max_restarts=3, predict=None):
        self.loop = loop
        self.coming = []
        self.starts = []
        self.held = []
        patience = Patience(
            hang_seconds=hang_seconds, max_restarts=max_restarts, window_seconds=1000.0
        )
        options = {"predict": predict} if predict else {}
        labels = dict(zip("abcdef", replicas, strict=False))
        self.engine = ReplicatedEngine(labels, self.start_another, loop, patience, **options)
        held = Started(
            engine=self.engine, transfer=self.engine.start_transfer(64), watches_itself=True
        )
        never = Patience(hang_seconds=hang_seconds, max_restarts=0, window_seconds=1.0)
        self.supervisor = Supervisor(held, lambda version: held, self.publish, loop, never)

    def start_another(self, label, version):
        self.starts.append((label, version))
        engine = self.coming.pop(0)
        if isinstance(engine, BaseException):
            raise engine
        return engine

    def publish(self, transfer, version):
        self.held.append(transfer.start())
        transfer.send(["bucket"])
        transfer.finish(version)

    def sample(self, count=8, prompts=PROMPTS, engine=None):
        engine = engine or self.supervisor

        async def together():
            requests = [Sampling(id=f"r{index}", limit=30, seed=index) for index in range(count)]
            pairs = zip(prompts, requests, strict=False)
            return await asyncio.gather(*(engine.sample(p, s) for p, s in pairs))

        return self.supervisor.run(together())

    def soon(self, call, seconds=0.05):
        async def later():
            await asyncio.sleep(seconds)
            call()

        self.loop.submit(later())


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)
