import time
from dataclasses import replace

import pytest
import torch

from data.types import Prompt
from rollout.engine import EngineError, EngineLost, RequestLost, Sampling
from rollout.vllm.remote import RemoteCycle, connect, own_address
from tests.rollout.engine_contract import CONTRACT, Subject, closed_engine_refuses
from tests.rollout.vllm.replica_server import SETTINGS

NEEDED = replace(SETTINGS, max_model_tokens=40)
PROMPTS = [
    Prompt(id=f"p{index}", messages=(), token_ids=[1, index], answer="7") for index in range(100)
]


@pytest.fixture
def engine(loop, server):
    connected = loop.run(connect(server.url, loop, "", NEEDED, 0))
    yield connected
    connected.shutdown()


def sample(engine, limit=30, name="r0"):
    return engine.loop.run(engine.sample(PROMPTS[0], Sampling(id=name, limit=limit, seed=0)))


@pytest.mark.parametrize("clause", [*CONTRACT, closed_engine_refuses])
def test_a_remote_engine_keeps_the_contract(engine, clause):
    clause(
        Subject(engine=engine, run=engine.loop.run, prompts=PROMPTS, short_limit=1, long_limit=30)
    )


def test_tokens_are_counted_as_they_come(engine):
    completion = sample(engine)
    assert engine.tokens_received == len(completion.token_ids)


def test_a_cancelled_request_ends_at_the_replica(engine, server):
    server.mute = True
    future = engine.loop.submit(engine.sample(PROMPTS[0], Sampling(id="gone", limit=9)))
    wait_for(lambda: engine._running)
    time.sleep(0.1)
    future.cancel()
    wait_for(lambda: server.cancelled == ["gone"])


def test_an_answer_that_breaks_off_is_lost_and_the_replica_is_not(engine, server):
    server.lots = 0
    with pytest.raises(RequestLost, match="r0"):
        sample(engine)
    server.lots = None
    assert sample(engine, name="r0+1").id == "r0+1" and not engine.death


def test_a_request_that_a_full_queue_refuses_may_be_asked_again(engine, server):
    server.full = True
    with pytest.raises(RequestLost, match="the queue is full"):
        sample(engine)
    server.full = False
    assert sample(engine, name="r0+1").id == "r0+1"


def test_a_server_that_goes_is_a_loss_named_at_once(loop, engine, server):
    server.mute = True
    future = loop.submit(engine.sample(PROMPTS[0], Sampling(id="r0", limit=9)))
    wait_for(lambda: engine._running)
    time.sleep(0.1)
    loop.run(server.stop())
    with pytest.raises(EngineLost, match="did not answer"):
        future.result(5)
    wait_for(lambda: engine.death)


def test_a_server_whose_engine_died_is_lost(engine, server):
    server.healthy = False
    wait_for(lambda: "503" in engine.death)


def test_kill_ends_what_waits_and_leaves_the_replica_alone(loop, engine, server):
    server.mute = True
    future = loop.submit(engine.sample(PROMPTS[0], Sampling(id="r0", limit=9)))
    wait_for(lambda: engine._running)
    loop.run(engine.kill("it hung"))
    with pytest.raises(EngineLost, match="it hung"):
        future.result(5)
    assert server.healthy


@pytest.mark.parametrize(
    ("there", "told"),
    [
        ({"dtype": "bfloat16"}, "its dtype is bfloat16, the run's is float32"),
        ({"logprobs_mode": "raw_logprobs"}, "its logprobs_mode is raw_logprobs"),
        ({"plugin": "not asked for"}, "its plugin is not asked for"),
        ({"model": "another"}, "its model is another"),
        ({"max_model_tokens": 39}, "it has room for 39 tokens, the run needs 40"),
        ({"backend": ""}, "it takes no weights"),
        ({"drafts_problem": "expanding"}, "verify drafts wrongly"),
    ],
)
def test_a_replica_that_differs_is_refused(loop, server, there, told):
    server.settings = replace(SETTINGS, **there)
    with pytest.raises(EngineError, match=told):
        loop.run(connect(server.url, loop, "", NEEDED, 0))


def test_a_wrong_token_is_refused_and_the_right_one_is_not_told(loop, server):
    server.token = "right-token"
    with pytest.raises(EngineError, match="VLLM_API_KEY") as told:
        loop.run(connect(server.url, loop, "wrong-token", NEEDED, 0))
    assert "right" not in str(told.value) and "wrong" not in str(told.value)
    loop.run(loop.run(connect(server.url, loop, "right-token", NEEDED, 0)).close())


def test_a_cycle_is_pause_start_updates_finish_reset_resume(engine, server):
    server.calls.clear()
    transfer = engine.start_transfer(1)
    transfer.start()
    transfer.send([("w", torch.ones(2))])
    transfer.finish(7)
    transfer.close()
    assert [call for call, _, _ in server.calls] == [
        "init_weight_transfer_engine", "pause", "start_weight_update", "update_weights",
        "finish_weight_update", "reset_prefix_cache", "resume",
    ]  # fmt: skip
    calls = {call: (query, body) for call, query, body in server.calls}
    assert calls["pause"][0] == {"mode": "keep", "clear_cache": "false"}
    assert calls["update_weights"][1]["update_info"]["names"] == ["w"]
    assert calls["reset_prefix_cache"][0] == {"reset_running_requests": "true"}
    assert server.asked[-1] == ("laconic_new_weights", {"version": 7})
    assert engine.weight_version == 7
    assert sample(engine).weight_versions == (7, 7)


def test_a_drafters_weights_are_a_second_update_within_the_pause(engine, server):
    server.calls.clear()
    transfer = engine.start_transfer(1)
    transfer.start()
    transfer.send([("w", torch.ones(2))])
    transfer.turn_to_drafter()
    transfer.send([("v", torch.ones(3))])
    transfer.finish(7)
    transfer.close()
    assert [call for call, _, _ in server.calls] == [
        "init_weight_transfer_engine", "pause", "start_weight_update", "update_weights",
        "finish_weight_update", "start_draft_weight_update", "update_weights",
        "finish_weight_update", "reset_prefix_cache", "resume",
    ]  # fmt: skip
    sent = [body["update_info"]["names"] for call, _, body in server.calls if "update_w" in call]
    assert sent == [["w"], ["v"]]
    assert engine.weight_version == 7


def test_a_replica_needs_no_more_than_what_changed_once_a_cycle_was_finished(engine):
    transfer = engine.start_transfer(1)
    assert not transfer.start()
    assert not transfer.start()
    transfer.finish(7)
    assert transfer.start()
    transfer.finish(8)
    assert not engine.start_transfer(1).start()


def test_a_replica_that_refuses_weights_is_lost(engine, server):
    server.error = "an update is open"
    with pytest.raises(EngineLost, match="an update is open"):
        RemoteCycle(engine).start()


def test_fingerprints_come_from_its_worker(engine):
    assert engine.fingerprints()["w"].tolist() == [1.0]


def test_drafts_are_counted_by_its_worker(engine):
    assert engine.draft_acceptance().accepted_length == 2.0


def test_requests_cannot_be_admitted_together_over_a_network(engine):
    with pytest.raises(EngineError, match="deterministic=false"):
        engine.admit_together()


def test_a_replica_is_told_the_address_by_which_it_reaches_us():
    assert own_address("http://127.0.0.1:9") == "127.0.0.1"


def wait_for(condition, seconds=20.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.005)
