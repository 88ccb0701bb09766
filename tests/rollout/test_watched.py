import asyncio

import numpy as np
import pytest

from data.types import Prompt
from rollout.engine import EngineError, Sampling
from rollout.timeline import Kind
from rollout.watched import WatchedEngine
from tests.fakes import FakeEngine
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject, closed_engine_refuses

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1], np.int32), answer="7")


class Clock:
    now = 0.0

    def __call__(self):
        return self.now


def subject(engine):
    prompts = [
        Prompt(id=f"p{index}", messages=(), token_ids=[1, 2], answer="7") for index in range(100)
    ]
    return Subject(engine=engine, run=asyncio.run, prompts=prompts, short_limit=1, long_limit=30)


@pytest.mark.parametrize("clause", [*CONTRACT, closed_engine_refuses])
def test_watched_engine_keeps_the_contract(clause):
    clause(subject(WatchedEngine(FakeEngine())))


@pytest.mark.parametrize("clause", INTERRUPTIONS)
def test_watched_engine_can_be_interrupted(clause):
    clause(subject(WatchedEngine(FakeEngine(seconds=lambda sampling: 0.05))))


def told(stretch):
    return stretch.start, stretch.end, [(a.name, a.start, a.end) for a in stretch.activities]


def test_a_request_that_runs_on_is_cut_off_between_two_stretches():
    clock = Clock()
    engine = WatchedEngine(FakeEngine(seconds=lambda s: 0.01 if s.id == "long" else 0.0), clock)

    async def two_stretches():
        clock.now = 1.0
        task = asyncio.create_task(engine.sample(PROMPT, Sampling(id="long", limit=3)))
        await asyncio.sleep(0)
        clock.now = 2.0
        await engine.sample(PROMPT, Sampling(id="short", limit=3))
        clock.now = 4.0
        first = engine.take()
        clock.now = 5.0
        await task
        clock.now = 8.0
        return first, engine.take()

    first, second = asyncio.run(two_stretches())
    assert told(first) == (0.0, 4.0, [("short", 2.0, 2.0), ("long", 1.0, 4.0)])
    assert told(second) == (4.0, 8.0, [("long", 4.0, 5.0)])
    assert {activity.kind for activity in first.activities} == {Kind.GENERATE}


def test_a_request_that_fails_has_ended():
    engine = WatchedEngine(FakeEngine(fails=lambda sampling: True))
    with pytest.raises(EngineError):
        asyncio.run(engine.sample(PROMPT, Sampling(id="r", limit=3)))
    assert [each.name for each in engine.take().activities] == ["r"]
    assert engine.take().activities == ()
