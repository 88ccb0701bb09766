"""Two vLLMs in one process tree as one engine: what one of them had is finished by the other."""

import asyncio
import itertools
from contextlib import closing

import pytest
import torch
from transformers import AutoModelForCausalLM

from rollout.background import BackgroundLoop
from rollout.config import Placement, VllmConfig
from rollout.engine import Sampling
from rollout.recovery import Patience
from rollout.replication.roster import Health
from rollout.supervisor import Started, Supervisor
from rollout.vllm.processes import starting
from rollout.vllm.replicas import start_rollout
from tests.engine_fixtures import LAB, MAX_MODEL_TOKENS, lab_prompts
from tests.rollout.vllm.reference import log_prob_gap, moved

pytestmark = [pytest.mark.engine, pytest.mark.long]

COUNT = 32


def test_a_killed_engine_costs_the_other_nothing_and_comes_back_with_the_next_weights():
    config = VllmConfig(
        placement=Placement.cpu, replicas=2, max_num_seqs=32, kv_cache_gib=0.25, num_threads=2
    )
    model = AutoModelForCausalLM.from_pretrained(LAB / "short", dtype=torch.float32).eval()
    prompts = list(itertools.islice(itertools.cycle(lab_prompts(LAB / "short", 8)), COUNT))
    never = Patience(hang_seconds=600, max_restarts=0, window_seconds=1)
    with closing(BackgroundLoop()) as loop:
        engine = start_rollout(
            config,
            loop=loop,
            model_path=str(LAB / "short"),
            dtype="float32",
            max_model_tokens=MAX_MODEL_TOKENS,
        )
        transfer = engine.start_transfer(1)
        held = Started(engine=engine, transfer=transfer, watches_itself=True)
        supervisor = Supervisor(held, lambda version: held, lambda *_: None, loop, never)

        def publish(version):
            supervisor.start()
            supervisor.send(list(model.named_parameters()))
            supervisor.finish(version)

        def sample(name):
            async def together():
                samplings = [
                    Sampling(id=f"{name}-{seed}", limit=300, temperature=2.0, seed=seed)
                    for seed in range(COUNT)
                ]
                pairs = zip(prompts, samplings, strict=True)
                return await asyncio.gather(*(supervisor.sample(p, s) for p, s in pairs))

            return list(zip(prompts, supervisor.run(together()), strict=True))

        async def kill_one_when_tokens_come():
            before = engine.tokens_received
            while engine.tokens_received - before < 100:
                await asyncio.sleep(0.01)
            starting()[0].kill()

        whole = sample("whole")
        loop.submit(kill_one_when_tokens_come())
        broken = sample("broken")
        assert sorted(engine.health.values()) == [Health.LOST, Health.SERVING]
        assert any("+" in completion.id for _, completion in broken)
        for (_, one), (_, other) in zip(whole, broken, strict=True):
            assert one.token_ids.tolist() == other.token_ids.tolist()
        moved(model)
        publish(1)
        assert set(engine.health.values()) == {Health.SERVING}
        answered = sample("moved")
        assert {completion.weight_versions for _, completion in answered} == {(1, 1)}
        assert log_prob_gap(model, answered, temperature=2.0)[0] <= 1e-3
        supervisor.shutdown()
