import asyncio
import threading
from dataclasses import replace

import pytest

from data.types import Prompt
from rollout.config import Placement, VllmConfig
from rollout.engine import EngineLost, Sampling
from rollout.vllm import replicas as replicas_module
from rollout.vllm.replicas import Served, connect_all
from tests.rollout.vllm.replica_server import SETTINGS, ReplicaServer

NEEDED = replace(SETTINGS, max_model_tokens=40)
PROMPTS = [
    Prompt(id=f"p{index}", messages=(), token_ids=[1, index], answer="7") for index in range(8)
]


@pytest.fixture
def config(monkeypatch):
    monkeypatch.setattr(replicas_module, "needed_settings", lambda *_: NEEDED)
    monkeypatch.setattr(replicas_module, "POLL_SECONDS", 0.05)
    return VllmConfig(placement=Placement.remote, start_seconds=10.0)


SERVED = Served(model_path="tiny", dtype="float32", max_model_tokens=40)


def test_all_addresses_are_one_engine_and_share_the_requests(loop, server, config):
    other = loop.run(ReplicaServer().start())
    engine = connect_all(replace(config, urls=[server.url, other.url]), SERVED, loop, 0)

    async def together():
        samplings = [Sampling(id=f"r{index}", limit=30, seed=index) for index in range(8)]
        pairs = zip(PROMPTS, samplings, strict=False)
        return await asyncio.gather(*(engine.sample(p, s) for p, s in pairs))

    assert len(loop.run(together())) == 8
    assert engine.name == "2 x vllm 0.32.0" and set(engine.health) == {server.url, other.url}
    engine.shutdown()
    loop.run(other.stop())


def test_a_replica_that_is_still_starting_is_waited_for(loop, config):
    late = ReplicaServer()
    loop.run(late.start())
    url = late.url
    loop.run(late.stop())
    config = replace(config, urls=[url])
    port = int(url.rsplit(":", 1)[1])
    late = ReplicaServer(port=port)
    timer = threading.Timer(0.3, lambda: loop.run(late.start()))
    timer.start()
    engine = connect_all(config, SERVED, loop, 0)
    assert loop.run(engine.sample(PROMPTS[0], Sampling(id="r", limit=3))).id == "r"
    engine.shutdown()
    loop.run(late.stop())


def test_a_replica_that_never_answers_is_named(loop, config):
    with pytest.raises(EngineLost, match=r"http://127.0.0.1:9 did not answer"):
        connect_all(
            replace(config, urls=["http://127.0.0.1:9"], start_seconds=0.1), SERVED, loop, 0
        )
