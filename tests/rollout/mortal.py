"""Fake engines that die, hang, drop answers and refuse, and transfers of weights into them."""

import asyncio
from contextlib import nullcontext

from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineLost, RequestLost
from rollout.prompt_tokens import PromptTokens
from tests.fakes import FakeEngine


class MortalFake(FakeEngine):
    """A fake engine that can die, hang and be killed; `mute` requests are never answered."""

    def __init__(self, *, mute: bool = False, seconds: float = 0.0) -> None:
        super().__init__(seconds=lambda sampling: 3600.0 if self.mute else seconds)
        self.mute = mute
        self.death = ""
        self.tokens_received = 0
        self.killed = ""
        self._waiting: set[asyncio.Task] = set()

    async def sample(self, prompt, sampling):
        if self.killed:
            raise EngineLost(self.killed)
        task = asyncio.ensure_future(super().sample(prompt, sampling))
        self._waiting.add(task)
        try:
            return await task
        except asyncio.CancelledError:
            if self.killed:
                raise EngineLost(self.killed) from None
            task.cancel()
            raise

    async def kill(self, why):
        self.killed = why
        for task in self._waiting:
            task.cancel()


class Weights:
    """A transfer into a fake engine; `breaks` is called when it is to finish."""

    def __init__(self, engine, breaks=lambda: None):
        self.engine, self.breaks, self.closed = engine, breaks, False
        self.sent = []
        self.installed = False

    def start(self):
        installed, self.installed = self.installed, False
        return installed

    def send(self, bucket):
        self.sent.append(bucket)

    def turn_to_drafter(self):
        self.sent.append("drafter")

    def finish(self, version):
        self.breaks()
        self.engine.weight_version = version
        self.installed = True

    def close(self):
        self.closed = True


class FakeReplica(MortalFake):
    """A `PolicyEngine` without a model. It drops the answer to each request of `drops`, refuses
    more requests than `queue`, and `breaks` is called when weights are to be installed."""

    def __init__(self, *, drops=(), queue=10**6, breaks=lambda: None, **options):
        super().__init__(**options)
        self.drops = set(drops)
        self.queue = queue
        self.breaks = breaks
        self.asked = []
        self.num_running = 0
        self.most_running = 0
        self.transfers = []
        self.together = False

    async def sample(self, prompt, sampling):
        self.asked.append(sampling.id)
        if self.num_running >= self.queue:
            raise RequestLost("the queue is full")
        self.num_running += 1
        self.most_running = max(self.most_running, self.num_running)
        try:
            completion = await super().sample(prompt, sampling)
        finally:
            self.num_running -= 1
        self.tokens_received += len(completion.token_ids)
        if sampling.id in self.drops:
            raise RequestLost("the answer was dropped")
        return completion

    def start_transfer(self, bucket_mib):
        self.transfers.append(Weights(self, self.breaks))
        return self.transfers[-1]

    def draft_acceptance(self):
        return Acceptance(verifications=2, drafted_at=[2], accepted_at=[1])

    def prompt_tokens(self):
        return PromptTokens(asked=10, cached=4)

    def admit_together(self):
        self.together = True

    def rest(self):
        return nullcontext()

    def shutdown(self): ...
