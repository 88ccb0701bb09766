import asyncio

import numpy as np
import pytest

from data.types import Finish, Prompt
from rollout.engine import EngineError, Sampling
from tests.fakes import END, FakeEngine, nucleus

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")


def sample(engine, **options):
    return asyncio.run(engine.sample(PROMPT, Sampling(**{"id": "x", "limit": 50, **options})))


def test_a_seed_repeats_a_completion_and_weights_change_it():
    engine = FakeEngine()
    before = [sample(engine, seed=s).text for s in range(8)]
    assert [sample(engine, seed=s).text for s in range(8)] == before
    engine.weight_version = 1
    after = [sample(engine, seed=s) for s in range(8)]
    assert [c.text for c in after] != before
    assert {c.weight_versions for c in after} == {(1, 1)}


def test_a_completion_ends_with_its_end_token_or_at_its_limit():
    completions = [sample(FakeEngine(), seed=s, limit=6) for s in range(30)]
    for completion in completions:
        stopped = completion.token_ids[-1] == END
        assert completion.finish is (Finish.STOP if stopped else Finish.LIMIT)
        assert stopped or completion.num_tokens == 6
    assert {c.finish for c in completions} == {Finish.STOP, Finish.LIMIT}


def test_greedy_sampling_is_certain():
    assert set(sample(FakeEngine(), temperature=0.0).logprobs.tolist()) == {0.0}


def test_nucleus_keeps_the_fewest_tokens_that_reach_top_p():
    kept = nucleus(np.array([0.1, 0.5, 0.4]), 0.8)
    np.testing.assert_allclose(kept, [0, 5 / 9, 4 / 9])


def test_a_closed_engine_refuses_requests():
    engine = FakeEngine()
    asyncio.run(engine.close())
    with pytest.raises(EngineError, match="closed"):
        sample(engine)


def test_a_cancelled_request_is_aborted():
    engine = FakeEngine(seconds=lambda s: 60.0)

    async def cancel():
        task = asyncio.create_task(engine.sample(PROMPT, Sampling(id="x", limit=5)))
        await asyncio.sleep(0)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    asyncio.run(cancel())
    assert engine.aborted == ["x"]


def test_an_aborted_request_has_the_share_of_its_tokens_that_its_time_allowed():
    engine = FakeEngine(seconds=lambda s: 0.4)

    async def abort_halfway():
        task = asyncio.create_task(engine.sample(PROMPT, Sampling(id="x", limit=50, seed=3)))
        await asyncio.sleep(0.2)
        await engine.abort("x")
        return await task

    whole, part = sample(FakeEngine(), seed=3), asyncio.run(abort_halfway())
    assert part.finish is Finish.ABORTED and 0 < part.num_tokens < whole.num_tokens
    assert whole.text.startswith(part.text)
