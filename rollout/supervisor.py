"""An engine that outlives its processes: lost ones are named, ended, replaced and given weights.

Flow of a loss: a request, the weight transfer or the watch on the background loop notices it -> the
rest of the engine is killed -> `Supervisor.run`, in which the learner's thread waits for rollouts,
starts another engine and publishes the weights -> the requests go on, each under a fresh id.

Only the learner's thread may publish, because all ranks take part, and while it waits in `run` the
learner holds exactly the weights that were published last. So nothing is kept to be sent again.
"""

import asyncio
import dataclasses
import itertools
import logging
import threading
import time
from collections.abc import Callable, Coroutine
from concurrent.futures import Future
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.engine import EngineError, EngineLost, MortalEngine, RequestLost, Sampling
from rollout.recovery import HangClock, Need, Patience, Recovery, Requests
from rollout.transfer import HeldTransfer, NamedTensors, Transfer

logger = logging.getLogger(__name__)

POLL_SECONDS = 0.5
MENDABLE = (Need.ENGINE, Need.WEIGHTS)

T = TypeVar("T")
E = TypeVar("E", bound=MortalEngine)


@dataclass(frozen=True, slots=True, kw_only=True)
class Started(Generic[E]):
    """A running engine and the way of the weights into it.

    One that `watches_itself` ends by itself when it hangs (`rollout.replication.engine`).
    """

    engine: E
    transfer: HeldTransfer
    watches_itself: bool = False


class Supervisor(Generic[E]):
    """One engine and one transfer to the run, over a series of engines that follow one another.

    `start_another(version)` starts an engine, `publish(transfer, version)` sends it the learner's
    weights; `run` calls both, on its thread. `on_reissue(lost_id, fresh_id)` hears, on the
    background loop, of every request that goes on under a fresh id.
    """

    def __init__(
        self,
        first: Started[E],
        start_another: Callable[[int], Started[E]],
        publish: Callable[[Transfer, int], object],
        loop: BackgroundLoop,
        patience: Patience,
    ) -> None:
        self.on_reissue: Callable[[str, str], None] = lambda lost_id, fresh_id: None
        self._held = first
        self._start_another = start_another
        self._publish = publish
        self._loop = loop
        self._patience = patience
        self._version = first.engine.weight_version
        self._recovery = Recovery(patience)
        self._lost_at = 0.0
        self._settled = asyncio.Event()
        self._settled.set()
        self._wake = threading.Event()
        self._requests = Requests()
        self._latest_ids: dict[str, str] = {}
        self._cycle = _Cycle()
        self._closed = False
        self._watch = loop.submit(self._watch_engine())
        self._watch.add_done_callback(say_if_failed)

    @property
    def engine(self) -> E:
        """The engine that runs at present, or ran last."""
        return self._held.engine

    @property
    def name(self) -> str:
        return self.engine.name

    @property
    def weight_version(self) -> int:
        return self.engine.weight_version

    @property
    def losses(self) -> list[str]:
        """What happened to the engines that were lost, in order, after the time of day."""
        return list(self._recovery.losses)

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; a request that was lost with its engine is answered by the next one.

        One that was lost alone is answered by the same engine. Its completion then bears the fresh
        id. Raises `EngineError` when the budget is spent.
        """
        first_id = sampling.id
        for attempt in itertools.count(1):
            incarnation = await self._serving()
            try:
                with self._requests:
                    return await self.engine.sample(prompt, sampling)
            except RequestLost as loss:
                logger.info("%s", loss)
            except EngineLost as loss:
                await self._lose(incarnation, str(loss))
            lost_id, fresh_id = sampling.id, f"{first_id}+{attempt}"
            sampling = dataclasses.replace(sampling, id=fresh_id)
            self._latest_ids[first_id] = fresh_id
            self.on_reissue(lost_id, fresh_id)
        raise AssertionError("unreachable")

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`: ends the request under the id that it goes on with."""
        await self.engine.abort(self._latest_ids.get(request_id, request_id))

    def run(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits as `BackgroundLoop.run` does; replaces a lost engine meanwhile, on this thread."""
        future = self._loop.submit(coroutine)
        future.add_done_callback(lambda _: self._wake.set())
        try:
            while not future.done():
                self._wake.clear()
                self._mend()
                if not future.done():
                    self._wake.wait()
            return future.result()
        except BaseException:
            future.cancel()
            raise

    def start(self) -> bool:
        """As `Transfer.start`. An engine that is lost in a cycle ends it without an error.

        The other ranks go through all buckets together with this one, so the cycle is played to
        its end; `run` publishes the same version again, to the next engine.
        """
        self._cycle = _Cycle(open=True, incarnation=self._recovery.incarnation)
        return bool(self._send(lambda transfer: transfer.start()))

    def send(self, bucket: NamedTensors) -> None:
        self._send(lambda transfer: transfer.send(bucket))

    def turn_to_drafter(self) -> None:
        self._send(lambda transfer: transfer.turn_to_drafter())

    def finish(self, version: int) -> None:
        self._version = version
        self._send(lambda transfer: transfer.finish(version))
        self._loop.run(self._published())
        self._cycle.open = False

    async def close(self) -> None:
        """Ends the engine; nothing is replaced any more. A second call does nothing."""
        self._closed = True
        self._watch.cancel()
        self._settled.set()
        await self.engine.close()

    def shutdown(self) -> None:
        """`close` for callers that block; gives the transfer's memory back first."""
        if not self._closed and not self._loop.closed:
            self._held.transfer.close()
            self._loop.run(self.close())

    def release(self) -> None:
        """Leaves the engine and its transfer to others; nothing is watched or replaced any more."""
        self._closed = True
        self._watch.cancel()

    async def _serving(self) -> int:
        """The incarnation that serves, as soon as one does."""
        while not self._closed:
            if self._recovery.need is Need.NOTHING:
                return self._recovery.incarnation
            if self._recovery.need is Need.END:
                raise EngineError(self._story())
            await self._settled.wait()
        raise EngineError(f"{self.name} is closed; start another one")

    async def _lose(self, incarnation: int, what: str) -> None:
        now = time.monotonic()
        if self._closed or not self._recovery.lost(incarnation, now, stamped(what)):
            return
        logger.warning("engine lost: %s", what)
        self._lost_at = now
        self._settled.clear()
        await self.engine.kill(what)
        self._tell()

    def _tell(self) -> None:
        """Wakes whoever waits for an engine, or for the news that there will be none."""
        if self._recovery.need in (Need.NOTHING, Need.END):
            self._settled.set()
        self._wake.set()

    async def _watch_engine(self) -> None:
        clock = HangClock(longest_gap=2 * POLL_SECONDS)
        while True:
            await asyncio.sleep(POLL_SECONDS)
            if self._recovery.need in (Need.ENGINE, Need.END):
                continue
            incarnation, engine = self._recovery.incarnation, self.engine
            # Paused requests make no progress; a call of the transfer that lasts is silence, too.
            waiting = self._requests.running > 0 and not self._cycle.open
            sent, answered = self._cycle.num_calls, self._requests.answered
            mark = (incarnation, engine.tokens_received, answered, sent)
            clock.tick(time.monotonic(), mark, at_work=waiting or self._cycle.calling)
            if engine.death:
                await self._lose(incarnation, engine.death)
            elif self._held.watches_itself:
                continue
            elif clock.quiet_seconds >= self._patience.hang_seconds:
                await self._lose(incarnation, self._hang())

    def _hang(self) -> str:
        running = self._requests.running
        waited = "a weight transfer" if self._cycle.calling else f"{running} requests"
        return (
            f"{self.name} hung: nothing came for {self._patience.hang_seconds:g} s "
            f"(rollout.hang_seconds) while {waited} waited"
        )

    def _mend(self) -> None:
        """Does what is needed until the engine serves, or the budget is spent."""
        while not self._closed and self._recovery.need in MENDABLE:
            if self._recovery.need is Need.ENGINE:
                self._replace()
            else:
                self._publish(self, self._version)

    def _replace(self) -> None:
        self._held.transfer.close()
        began = time.monotonic()
        try:
            held = self._start_another(self._version)
        except EngineError as error:
            self._loop.run(self._not_started(str(error)))
            return
        seconds = time.monotonic() - began
        logger.warning("another engine started in %.1f s; publishing the weights to it", seconds)
        self._loop.run(self._started(held))

    async def _started(self, held: Started[E]) -> None:
        self._held = held
        self._recovery.started()

    async def _not_started(self, what: str) -> None:
        logger.warning("another engine did not start: %s", what)
        self._recovery.not_started(time.monotonic(), stamped(what))
        self._tell()

    async def _published(self) -> None:
        if self._recovery.published(self._cycle.incarnation):
            seconds = time.monotonic() - self._lost_at
            logger.warning("the engine serves again, %.1f s after the loss", seconds)
        self._tell()

    def _send(self, call: Callable[[HeldTransfer], T]) -> T | None:
        """The call's answer; None when there is no engine to send to, or none any more."""
        if self._recovery.need in (Need.ENGINE, Need.END):
            return None
        self._cycle.num_calls += 1
        self._cycle.calling = True
        try:
            return call(self._held.transfer)
        except EngineLost as loss:
            self._loop.run(self._lose(self._cycle.incarnation, str(loss)))
            return None
        finally:
            self._cycle.calling = False

    def _story(self) -> str:
        losses = self._recovery.losses
        listed = "".join(f"\n  {number}. {what}" for number, what in enumerate(losses, start=1))
        return (
            f"the engine was lost {len(losses)} times, more than rollout.max_restarts="
            f"{self._patience.max_restarts} within rollout.restart_window_seconds="
            f"{self._patience.window_seconds:g} allows:{listed}"
        )


@dataclass(slots=True)
class _Cycle:
    """One transfer of weights: into which engine, and whether a call waits for that engine."""

    open: bool = False
    incarnation: int = 0
    calling: bool = False
    num_calls: int = 0


def say_if_failed(watch: Future[None]) -> None:
    """Logs the failure of a watch, which nobody waits for."""
    if not watch.cancelled() and (error := watch.exception()):
        logger.error("nobody watches the engine any more, a hang would last: %r", error)


def stamped(what: str) -> str:
    """`what` after the time of day, for a list of what happened."""
    return f"{time.strftime('%H:%M:%S')} {what}"
