import asyncio
import threading

import pytest

from data.types import Finish, Prompt, Verdict
from rollout import supervisor as supervisor_module
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.engine import EngineError, EngineLost, RequestLost, Sampling
from rollout.recovery import Patience
from rollout.samplings import Request, StreamSettings
from rollout.stream import Stream
from rollout.supervisor import Started, Supervisor
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject, closed_engine_refuses
from tests.rollout.mortal import MortalFake, Weights

PROMPTS = [
    Prompt(id=f"p{index}", messages=(), token_ids=[1, 2], answer="7") for index in range(100)
]


class Succession:
    """What a run gives its supervisor: engines one after the other, and a learner's publish."""

    def __init__(
        self,
        loop,
        *engines,
        max_restarts=3,
        hang_seconds=60.0,
        breaks=lambda: None,
        watches_itself=False,
    ):
        self.loop = loop
        self.coming = list(engines)
        self.published = []
        self.held = []
        self.threads = set()
        self.starts = 0
        patience = Patience(
            hang_seconds=hang_seconds, max_restarts=max_restarts, window_seconds=1000.0
        )
        first = self.coming.pop(0)
        held = Started(engine=first, transfer=Weights(first, breaks), watches_itself=watches_itself)
        self.supervisor = Supervisor(held, self.start, self.publish, loop, patience)

    def start(self, version):
        self.threads.add(threading.current_thread())
        self.starts += 1
        engine = self.coming.pop(0)
        if isinstance(engine, BaseException):
            raise engine
        return Started(engine=engine, transfer=Weights(engine))

    def publish(self, transfer, version):
        self.threads.add(threading.current_thread())
        self.published.append(version)
        self.held.append(transfer.start())
        transfer.send([])
        transfer.finish(version)

    def sample(self, count=8, limit=30):
        async def together():
            requests = [Sampling(id=f"r{index}", limit=limit, seed=index) for index in range(count)]
            pairs = zip(PROMPTS, requests, strict=False)
            return await asyncio.gather(*(self.supervisor.sample(p, s) for p, s in pairs))

        return self.supervisor.run(together())

    def die_soon(self, engine, how="killed by SIGKILL"):
        def die():
            engine.death = how

        self.loop.submit(after(0.02, die))


async def after(seconds, call):
    await asyncio.sleep(seconds)
    call()


@pytest.fixture
def loop(monkeypatch):
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.01)
    background = BackgroundLoop()
    yield background
    background.close()


@pytest.mark.parametrize("clause", [*CONTRACT, closed_engine_refuses])
def test_a_supervised_engine_keeps_the_contract(loop, clause):
    supervisor = Succession(loop, MortalFake()).supervisor
    clause(Subject(engine=supervisor, run=loop.run, prompts=PROMPTS, short_limit=1, long_limit=30))


@pytest.mark.parametrize("clause", INTERRUPTIONS)
def test_a_supervised_engine_can_be_interrupted(loop, clause):
    supervisor = Succession(loop, MortalFake(seconds=0.2)).supervisor
    clause(Subject(engine=supervisor, run=loop.run, prompts=PROMPTS, short_limit=1, long_limit=30))


def test_requests_of_an_engine_that_died_are_answered_by_the_next_under_fresh_ids(loop):
    first, second = MortalFake(mute=True), MortalFake()
    run = Succession(loop, first, second)
    run.publish(run.supervisor, 4)
    reissues = []
    run.supervisor.on_reissue = lambda lost_id, fresh_id: reissues.append((lost_id, fresh_id))
    run.die_soon(first)
    completions = run.sample(3)
    assert [c.id for c in completions] == ["r0+1", "r1+1", "r2+1"]
    assert sorted(reissues) == [("r0", "r0+1"), ("r1", "r1+1"), ("r2", "r2+1")]
    assert {c.weight_versions for c in completions} == {(4, 4)}
    assert first.killed == "killed by SIGKILL"


def test_only_an_engine_that_has_the_last_version_needs_no_more_than_what_changed(loop):
    first, second = MortalFake(mute=True), MortalFake()
    run = Succession(loop, first, second)
    for version in (1, 2):
        run.publish(run.supervisor, version)
    run.die_soon(first)
    run.sample(1)
    run.publish(run.supervisor, 3)
    assert run.published == [1, 2, 2, 3]
    assert run.held == [False, True, False, True]


def test_a_reissued_request_is_aborted_by_the_id_that_it_was_asked_under(loop):
    first, second = MortalFake(mute=True), MortalFake(mute=True)
    run = Succession(loop, first, second)

    async def abort_once_reissued():
        while len(second.running) < 3:
            await asyncio.sleep(0.01)
        for index in range(3):
            await run.supervisor.abort(f"r{index}")

    run.die_soon(first)
    loop.submit(abort_once_reissued())
    completions = run.sample(3)
    assert {(c.finish, c.num_tokens) for c in completions} == {(Finish.ABORTED, 0)}


def test_a_request_lost_alone_goes_on_with_the_same_engine_under_a_fresh_id(loop):
    engine = MortalFake()
    answer, asked = engine.sample, []

    async def drops_the_first(prompt, sampling):
        asked.append(sampling.id)
        if len(asked) == 1:
            raise RequestLost("dropped")
        return await answer(prompt, sampling)

    engine.sample = drops_the_first
    run = Succession(loop, engine)
    (completion,) = run.sample(1)
    assert (asked, completion.id) == (["r0", "r0+1"], "r0+1")
    assert run.supervisor.losses == [] and run.starts == 0


def test_starting_and_publishing_happen_on_the_learners_thread(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, MortalFake())
    run.publish(run.supervisor, 4)
    run.die_soon(first)
    run.sample(3)
    assert run.published == [4, 4] and run.threads == {threading.current_thread()}


def test_silence_is_a_hang_and_what_is_left_is_killed(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, MortalFake(), hang_seconds=0.1)
    assert len(run.sample(5)) == 5
    (loss,) = run.supervisor.losses
    assert "fake hung: nothing came for 0.1 s (rollout.hang_seconds) while 5 requests" in loss
    assert first.killed


def test_an_engine_whose_tokens_come_slowly_is_no_hang(loop):
    engine = MortalFake(seconds=0.3)
    run = Succession(loop, engine, hang_seconds=0.1)

    async def tokens():
        while True:
            await asyncio.sleep(0.02)
            engine.tokens_received += 1

    arriving = loop.submit(tokens())
    assert len(run.sample(5)) == 5
    arriving.cancel()
    assert run.starts == 0


def test_an_engine_that_watches_itself_is_left_alone_until_it_says_that_it_died(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, MortalFake(), hang_seconds=0.1, watches_itself=True)
    loop.submit(after(0.5, lambda: setattr(first, "death", "all of 2 x fake are lost")))
    assert len(run.sample(2)) == 2
    (loss,) = run.supervisor.losses
    assert "all of 2 x fake are lost" in loss


def test_an_engine_lost_in_the_middle_of_a_sync_gets_the_same_version_again(loop):
    """The cycle ends without an error: the other ranks go through it, too."""

    def breaks():
        raise EngineLost("killed by SIGKILL")

    run = Succession(loop, MortalFake(), MortalFake(), breaks=breaks)
    run.publish(run.supervisor, 7)
    assert run.starts == 0
    completions = run.sample(2)
    assert (run.published, run.starts) == ([7, 7], 1)
    assert {c.weight_versions for c in completions} == {(7, 7)}


def test_an_engine_that_died_between_syncs_takes_no_part_in_the_next(loop):
    first = MortalFake()
    run = Succession(loop, first, MortalFake())
    first.death = "ended with exit code 1"
    loop.run(asyncio.sleep(0.05))
    run.publish(run.supervisor, 3)
    assert first.weight_version == 0
    assert {c.weight_versions for c in run.sample(2)} == {(3, 3)}


def test_a_spent_budget_ends_with_what_happened_each_time(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, EngineError("vllm did not start: no memory"), max_restarts=1)
    run.die_soon(first)
    with pytest.raises(
        EngineError, match=r"lost 2 times, more than rollout.max_restarts=1"
    ) as told:
        run.sample(3)
    assert "killed by SIGKILL" in str(told.value) and "no memory" in str(told.value)
    with pytest.raises(EngineError, match="lost 2 times"):
        run.sample(1)


def test_an_interrupt_of_the_learners_thread_ends_the_wait(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, KeyboardInterrupt())
    run.die_soon(first)
    with pytest.raises(KeyboardInterrupt):
        run.sample(1)


def test_a_closed_supervisor_replaces_nothing(loop):
    first = MortalFake(mute=True)
    run = Succession(loop, first, MortalFake())
    run.supervisor.shutdown()
    first.death = "killed"
    with pytest.raises(EngineError, match="closed"):
        run.sample(1)
    assert run.starts == 0


def test_books_of_a_stream_balance_over_losses(loop):
    """Three engines: two die with requests in flight, the third answers all."""
    engines = [MortalFake(mute=True), MortalFake(mute=True), MortalFake()]
    run = Succession(loop, *engines)
    records = []

    async def right(prompt, completion):
        return Verdict(correct=True)

    stream = Stream(
        run.supervisor, right, lambda group, verdicts: True, run.supervisor,
        StreamSettings(group_size=4, seed=0), records.append,
    )  # fmt: skip
    run.supervisor.on_reissue = stream.reissued
    for delay, engine in ((0.05, engines[0]), (0.3, engines[1])):
        loop.submit(after(delay, lambda engine=engine: setattr(engine, "death", "killed")))
    stream.submit(Request(prompt=prompt, limit=30, step=0) for prompt in PROMPTS[:2])
    batch = stream.next_batch(2, version=0)
    run.supervisor.shutdown()
    stream.close()
    names = [f"0/{prompt.id}/{index}" for prompt in PROMPTS[:2] for index in range(4)]
    fates = {record.id: record.fate for record in records}
    assert fates == {
        **dict.fromkeys([*names, *(f"{name}+1" for name in names)], Fate.LOST),
        **dict.fromkeys([f"{name}+2" for name in names], Fate.TRAINED),
    }
    assert len(records) == len(fates) == sum(stream.fates.values())
    assert [c.id for judged in batch for c in judged.group.completions] == [
        f"{name}+2" for name in names
    ]
