"""The stream benchmark on the shared engine: both contenders sample the same tokens."""

import pytest

from rewards.pool import WorkerPool
from rl.bench.lab import lab_prompts
from rl.bench.stream import LAB, MAX_PROMPT_TOKENS, Bench
from rollout.samplings import Samplings
from rollout.vllm.bare import bare_tokens
from tests.engine_fixtures import LabEngine

pytestmark = pytest.mark.engine


@pytest.fixture
def bench(lab_engine: LabEngine):
    pool = WorkerPool(workers=1, timeout_seconds=5.0, memory_gib=4.0)
    yield Bench(
        loop=lab_engine.loop,
        engine=lab_engine.engine,
        pool=pool,
        prompts=lab_prompts(LAB, 3, MAX_PROMPT_TOKENS),
        group_size=4,
    )
    lab_engine.loop.run(pool.close())


def test_both_contenders_sample_the_same_tokens(bench: Bench) -> None:
    samplings = Samplings(bench.settings(5))
    asked = [(r.prompt, s) for r in bench.requests(5) for s in samplings(r)]
    bare = bench.loop.run(bare_tokens(bench.engine, asked))

    async def ours() -> list[int]:
        return [
            len((await bench.engine.sample(prompt, sampling)).token_ids)
            for prompt, sampling in asked
        ]

    assert bench.loop.run(ours()) == bare and len(bare) == 12


def test_rates_are_tokens_over_seconds(bench: Bench) -> None:
    assert bench.ours(1) > 0 and bench.bare(1) > 0
    assert bench.engine.llm.get_num_unfinished_requests() == 0
