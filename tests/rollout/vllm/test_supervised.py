"""The shared vLLM under a supervisor; tests/rl/cli/test_engine_faults.py is where engines die."""

import asyncio

import pytest

from rollout.engine import Sampling
from rollout.recovery import Patience
from rollout.supervisor import Started, Supervisor
from tests.rollout.engine_contract import CONTRACT, Subject

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def supervisor(lab_engine):
    """Nothing is lost, so nothing is started or published."""
    held = Started(engine=lab_engine.engine, transfer=lab_engine.transfer)
    patience = Patience(hang_seconds=120, max_restarts=0, window_seconds=1)
    return Supervisor(held, lambda version: held, lambda *_: None, lab_engine.loop, patience)


@pytest.mark.parametrize("clause", CONTRACT)
def test_a_supervised_vllm_keeps_the_contract(supervisor, lab_engine, clause):
    clause(
        Subject(
            engine=supervisor,
            run=supervisor.run,
            prompts=lab_engine.prompts,
            short_limit=4,
            long_limit=400,
        )
    )


def test_tokens_are_counted_while_a_completion_grows(lab_engine):
    """The sign of life that the supervisor watches: it moves before a completion is delivered."""
    engine, seen = lab_engine.engine, []

    async def watched():
        request = Sampling(id="growing", limit=300, temperature=2.0, seed=0)
        task = asyncio.create_task(engine.sample(lab_engine.prompts[0], request))
        while not task.done():
            seen.append(engine.tokens_received)
            await asyncio.sleep(0.01)
        return task.result()

    completion = lab_engine.loop.run(watched())
    assert engine.tokens_received - seen[0] == len(completion.token_ids)
    assert len(set(seen)) > 3
