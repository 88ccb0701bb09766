"""Several engines as one: requests go where the assignment says, weights go to all of them.

Flow of a loss: a request, the weight transfer or the watch notices it -> what is left of the
replica is killed -> its requests raise `RequestLost`, and the `Supervisor` asks again, under fresh
ids, which the other replicas answer -> at the next publication another one starts in its place and
gets the weights with all. Only when none is left is this engine lost, and replaced as a whole.
"""

import asyncio
import logging
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import TYPE_CHECKING

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineError, EngineLost, RequestLost, Sampling
from rollout.prompt_tokens import PromptTokens
from rollout.recovery import HangClock, Patience, Requests
from rollout.replication.arrivals import Arrivals
from rollout.replication.assignment import Assignment, Task
from rollout.replication.roster import Health, Roster
from rollout.supervisor import say_if_failed, stamped
from rollout.transfer import HeldTransfer, PolicyEngine

if TYPE_CHECKING:
    from torch import Tensor

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
SUSPECT_SHARE = 0.25
"""A replica is suspect when it was silent for this share of the time that makes a hang."""

Predict = Callable[[Prompt, Sampling], int]
"""The tokens that a request will take."""
StartAnother = Callable[[str, int], PolicyEngine | None]
"""Starts a replica by its label, with weights of a version; None when there is none to have yet."""


def at_most(prompt: Prompt, sampling: Sampling) -> int:
    """The prediction of those who know nothing of the prompt: its limit."""
    return sampling.limit


@dataclass(slots=True)
class _Replica:
    label: str
    engine: PolicyEngine
    clock: HangClock
    requests: Requests = field(default_factory=Requests)
    calling: bool = False
    num_calls: int = 0


class ReplicatedEngine:
    """Samples on any of `replicas`, which are known by their labels; a `PolicyEngine` itself.

    Every method but `sample`, `close` and `kill` is called by the learner's thread, which
    `start_another` blocks. `patience` is each replica's own; `predict` may be set at any time.
    """

    def __init__(
        self,
        replicas: Mapping[str, PolicyEngine],
        start_another: StartAnother,
        loop: BackgroundLoop,
        patience: Patience,
        predict: Predict = at_most,
    ) -> None:
        self._replicas = [
            _Replica(label, engine, HangClock(longest_gap=2 * POLL_SECONDS))
            for label, engine in replicas.items()
        ]
        self._start_another = start_another
        self._loop = loop
        self._patience = patience
        self.predict = predict
        self._roster = Roster(list(replicas), patience)
        self._assignment = Assignment(len(replicas))
        self._arrivals = Arrivals(self._place)
        self._weight_version = self._replicas[0].engine.weight_version
        self._paused = False
        self._together = False
        self._ended: EngineError | None = None
        self._watch = loop.submit(self._watch_replicas())
        self._watch.add_done_callback(say_if_failed)

    @property
    def name(self) -> str:
        name = self._replicas[0].engine.name
        return name if len(self._replicas) == 1 else f"{len(self._replicas)} x {name}"

    @property
    def weight_version(self) -> int:
        return self._weight_version

    @property
    def health(self) -> dict[str, Health]:
        """Each replica's health, by its label."""
        return {
            replica.label: self._roster.health(index)
            for index, replica in enumerate(self._replicas)
        }

    @property
    def losses(self) -> list[str]:
        """What happened to replicas that were lost: label, time of day, what."""
        return self._roster.losses

    @property
    def tokens_received(self) -> int:
        return sum(replica.engine.tokens_received for replica in self._replicas)

    @property
    def death(self) -> str:
        """See `MortalEngine.death`; this engine lives as long as one replica does."""
        if self._ended or self._roster.running():
            return ""
        return "\n  ".join([f"all of {self.name} are lost:", *self._roster.losses])

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; may be awaited on any event loop.

        Raises `RequestLost` when its replica was lost and others serve.
        """
        if not self._loop.is_current and not self._ended:
            return await asyncio.wrap_future(self._loop.submit(self.sample(prompt, sampling)))
        tokens = self.predict(prompt, sampling)
        try:
            index = await self._arrivals.join(
                Task(request=sampling.id, prompt=prompt.id, tokens=tokens)
            )
            return await self._sample_on(index, prompt, sampling)
        finally:
            self._assignment.ended(sampling.id)

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`."""
        if not self._loop.is_current and not self._ended:
            return await asyncio.wrap_future(self._loop.submit(self.abort(request_id)))
        place = self._assignment.place_of(request_id)
        if place is not None:
            await self.engine_of(place).abort(request_id)

    def start_transfer(self, bucket_mib: int) -> HeldTransfer:
        from rollout.replication.fan_out import FanOut

        return FanOut(self, bucket_mib)

    def fingerprints(self) -> "dict[str, Tensor]":
        """See `PolicyEngine.fingerprints`; a parameter in which replicas differ is not a number."""
        from rollout.fingerprint import agreed

        return agreed([self.engine_of(index).fingerprints() for index in self.running()])

    def draft_acceptance(self) -> Acceptance:
        total = Acceptance()
        for index in self.running():
            total.add(self.engine_of(index).draft_acceptance())
        return total

    def prompt_tokens(self) -> PromptTokens:
        total = PromptTokens()
        for index in self.running():
            total.add(self.engine_of(index).prompt_tokens())
        return total

    def admit_together(self) -> None:
        self._together = True
        for index in self.running():
            self.engine_of(index).admit_together()

    def rest(self) -> AbstractContextManager[None]:
        """Nothing to do: no memory is shared with the learner."""
        return nullcontext()

    async def kill(self, why: str) -> None:
        """See `MortalEngine.kill`."""
        await self._end(EngineLost(why))
        for replica in self._replicas:
            await replica.engine.kill(why)

    async def close(self) -> None:
        if not self._loop.is_current and not self._loop.closed:
            return await asyncio.wrap_future(self._loop.submit(self.close()))
        await self._end(EngineError(f"{self.name} is closed; start another one"))
        for replica in self._replicas:
            await replica.engine.close()

    def shutdown(self) -> None:
        if not self._ended and not self._loop.closed:
            self._loop.run(self.close())

    def running(self) -> list[int]:
        """Numbers of the replicas that run, those that wait for weights included."""
        return self._roster.running()

    def engine_of(self, index: int) -> PolicyEngine:
        """The engine that is replica `index` at present."""
        return self._replicas[index].engine

    def replace_lost(self) -> list[int]:
        """Starts others in the places of lost replicas; returns the numbers of those."""
        return [index for index in self._roster.waiting() if self._replaced(index)]

    @contextmanager
    def call(self, index: int) -> Iterator[None]:
        """Around a call of replica `index` by the transfer; when the replica is lost, it ends."""
        replica, incarnation = self._replicas[index], self._roster.incarnation(index)
        replica.calling, replica.num_calls = True, replica.num_calls + 1
        try:
            yield
        except EngineLost as loss:
            self._loop.run(self._lose(index, incarnation, str(loss)))
        finally:
            replica.calling = False

    def paused(self) -> None:
        """Until `published`, requests make no progress, and nobody expects it."""
        self._paused = True

    def published(self, version: int) -> None:
        """The replicas that run have the weights of `version` and serve."""
        self._loop.run(self._published(version))

    async def _published(self, version: int) -> None:
        self._weight_version, self._paused = version, False
        for index in self._roster.running():
            if self._roster.published(index):
                logger.warning("%s serves again", self._replicas[index].label)

    def _place(self, tasks: Sequence[Task]) -> list[int]:
        usable = self._roster.usable()
        if self._ended or not usable:
            raise self._ended or EngineLost(self.death)
        return self._assignment.place(tasks, usable)

    async def _sample_on(self, index: int, prompt: Prompt, sampling: Sampling) -> Completion:
        replica, incarnation = self._replicas[index], self._roster.incarnation(index)
        try:
            with replica.requests:
                completion = await replica.engine.sample(prompt, sampling)
        except RequestLost as loss:
            if self._roster.dropped(index):
                await self._lose(index, incarnation, f"it drops one answer after another: {loss}")
        except EngineLost as loss:
            await self._lose(index, incarnation, str(loss))
        else:
            self._roster.answered(index)
            return completion
        if self._ended or not self._roster.usable():
            raise self._ended or EngineLost(self.death)
        raise RequestLost(f"request {sampling.id} was lost on {replica.label}")

    async def _lose(self, index: int, incarnation: int, what: str) -> None:
        news = self._roster.lost(index, incarnation, time.monotonic(), stamped(what))
        if self._ended or not news:
            return
        replica = self._replicas[index]
        logger.warning(
            "%s is %s, %d of %d replicas serve: %s",
            replica.label,
            self._roster.health(index).value,
            len(self._roster.usable()),
            len(self._replicas),
            what,
        )
        await replica.engine.kill(what)

    async def _end(self, ending: EngineError) -> None:
        self._ended = self._ended or ending
        self._watch.cancel()

    async def _watch_replicas(self) -> None:
        while True:
            await asyncio.sleep(POLL_SECONDS)
            for index in self._roster.running():
                await self._look_at(index)

    async def _look_at(self, index: int) -> None:
        replica, incarnation = self._replicas[index], self._roster.incarnation(index)
        requests, engine = replica.requests, replica.engine
        mark = (incarnation, engine.tokens_received, requests.answered, replica.num_calls)
        at_work = replica.calling or (requests.running > 0 and not self._paused)
        replica.clock.tick(time.monotonic(), mark, at_work=at_work)
        quiet, hang = replica.clock.quiet_seconds, self._patience.hang_seconds
        if engine.death:
            await self._lose(index, incarnation, engine.death)
        elif quiet >= hang:
            await self._lose(index, incarnation, _hang(replica, hang))
        elif quiet >= SUSPECT_SHARE * hang:
            self._roster.silent(index)
        else:
            self._roster.heard(index)

    def _replaced(self, index: int) -> bool:
        replica = self._replicas[index]
        try:
            engine = self._start_another(replica.label, self._weight_version)
        except EngineError as error:
            logger.warning("%s did not start again: %s", replica.label, error)
            self._roster.not_started(index, time.monotonic(), stamped(str(error)))
            return False
        if engine is None:
            return False
        if self._together:
            engine.admit_together()
        replica.engine = engine
        self._roster.started(index)
        return True


def _hang(replica: _Replica, seconds: float) -> str:
    waited = "a weight transfer" if replica.calling else f"{replica.requests.running} requests"
    return (
        f"{replica.engine.name} hung: nothing came for {seconds:g} s (rollout.hang_seconds) "
        f"while {waited} waited"
    )
