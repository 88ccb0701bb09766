import asyncio

import pytest

from data.types import Completion, Group, Prompt, Verdict
from rollout.replay import Batch, ReplayEngine
from rollout.stream import Judged
from tests.fakes import FakeEngine
from tests.rollout.engine_contract import (
    CONTRACT,
    INTERRUPTIONS,
    Subject,
    cancelled_request_ends_and_others_go_on,
    closed_engine_refuses,
)

CLAUSES = [*CONTRACT, closed_engine_refuses]
# A replay answers at once: there is nothing to cancel.
REPLAYABLE = [c for c in CLAUSES if c is not cancelled_request_ends_and_others_go_on]


class Tape:
    """Passes requests on to an engine and keeps what it answered, as one group per completion."""

    def __init__(self, engine: FakeEngine) -> None:
        self.engine = engine
        self.judged: list[Judged] = []
        self.name, self.weight_version = engine.name, engine.weight_version
        self.close = engine.close

    async def sample(self, prompt: Prompt, sampling) -> Completion:
        completion = await self.engine.sample(prompt, sampling)
        group = Group(prompt=prompt, completions=(completion,))
        verdicts = (Verdict(correct=True),)
        self.judged.append(Judged(group=group, verdicts=verdicts, oldest_version=0))
        return completion


def subject(engine):
    """Prompts are a hundred: a replay serves those of one prompt in the order of the requests."""
    prompts = [
        Prompt(id=f"p{index}", messages=(), token_ids=[1, 2], answer="7") for index in range(100)
    ]
    return Subject(engine=engine, run=asyncio.run, prompts=prompts, short_limit=1, long_limit=30)


@pytest.mark.parametrize("clause", CLAUSES)
def test_fake_engine_keeps_the_contract(clause):
    clause(subject(FakeEngine()))


@pytest.mark.parametrize("clause", INTERRUPTIONS)
def test_fake_engine_can_be_interrupted(clause):
    clause(subject(FakeEngine(seconds=lambda sampling: 0.2)))


@pytest.mark.parametrize("clause", REPLAYABLE)
def test_replay_of_a_recorded_engine_keeps_the_contract(clause):
    tape = Tape(FakeEngine())
    clause(subject(tape))
    clause(subject(ReplayEngine([Batch(step=0, judged=tuple(tape.judged))])))
