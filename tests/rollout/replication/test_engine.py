import time

import pytest

from data.types import Verdict
from rollout import supervisor as supervisor_module
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.engine import EngineLost, RequestLost, Sampling
from rollout.replication import engine as replicas_module
from rollout.replication.roster import MOST_DROPS, Health
from rollout.stream import Request, Stream, StreamSettings
from tests.rollout.cluster import PROMPTS, Cluster, wait_for
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject, closed_engine_refuses
from tests.rollout.mortal import FakeReplica


@pytest.fixture
def loop(monkeypatch):
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(replicas_module, "POLL_SECONDS", 0.01)
    background = BackgroundLoop()
    yield background
    background.close()


@pytest.mark.parametrize("clause", [*CONTRACT, closed_engine_refuses])
def test_replicas_keep_the_engine_contract(loop, clause):
    engine = Cluster(loop, FakeReplica(), FakeReplica()).engine
    clause(Subject(engine=engine, run=loop.run, prompts=PROMPTS, short_limit=1, long_limit=30))


@pytest.mark.parametrize("clause", INTERRUPTIONS)
def test_replicas_can_be_interrupted(loop, clause):
    engine = Cluster(loop, FakeReplica(seconds=0.2), FakeReplica(seconds=0.2)).engine
    clause(Subject(engine=engine, run=loop.run, prompts=PROMPTS, short_limit=1, long_limit=30))


def test_seeded_completions_are_those_of_one_engine(loop):
    alone = Cluster(loop, FakeReplica()).sample(16)
    shared = Cluster(loop, FakeReplica(), FakeReplica(), FakeReplica()).sample(16)
    assert [c.text for c in alone] == [c.text for c in shared]


def test_requests_that_start_together_are_spread_and_groups_stay_together(loop):
    replicas = [FakeReplica(), FakeReplica()]
    Cluster(loop, *replicas).sample(8, prompts=[PROMPTS[index // 4] for index in range(8)])
    assert [replica.asked for replica in replicas] == [
        ["r0", "r1", "r2", "r3"], ["r4", "r5", "r6", "r7"]
    ]  # fmt: skip


def test_drafts_are_counted_over_all_replicas(loop):
    found = Cluster(loop, FakeReplica(), FakeReplica()).engine.draft_acceptance()
    assert (found.verifications, found.drafted_at, found.accepted_at) == (4, [4], [2])


def test_prompts_are_counted_over_all_replicas(loop):
    found = Cluster(loop, FakeReplica(), FakeReplica()).engine.prompt_tokens()
    assert (found.asked, found.cached, found.cached_share) == (20, 8, 0.4)


def test_predicted_lengths_decide_who_goes_where(loop):
    tokens = {"p0": 3, "p1": 6, "p2": 5, "p3": 7}
    replicas = [FakeReplica(), FakeReplica()]
    cluster = Cluster(loop, *replicas, predict=lambda prompt, sampling: tokens[prompt.id])
    cluster.sample(4)
    assert [set(replica.asked) for replica in replicas] == [{"r0", "r3"}, {"r1", "r2"}]


def test_requests_of_a_killed_replica_are_answered_by_the_others_under_fresh_ids(loop):
    mute, other = FakeReplica(mute=True), FakeReplica()
    cluster = Cluster(loop, mute, other)
    cluster.soon(lambda: setattr(mute, "death", "was killed by SIGKILL"))
    completions = cluster.sample(4)
    assert sorted(c.id for c in completions) == ["r0+1", "r1", "r2+1", "r3"]
    assert cluster.engine.health == {"a": Health.LOST, "b": Health.SERVING}
    assert cluster.starts == [] and mute.killed


def test_one_that_is_told_of_a_loss_may_ask_again_at_once(loop):
    mute, other = FakeReplica(mute=True), FakeReplica()
    cluster = Cluster(loop, mute, other)
    cluster.soon(lambda: setattr(mute, "death", "killed"))
    with pytest.raises(RequestLost, match="request r0 was lost on a"):
        cluster.sample(1, engine=cluster.engine)
    assert cluster.sample(1, engine=cluster.engine)[0].id == "r0"


def test_a_hung_replica_is_named_and_killed_while_the_others_go_on(loop):
    mute, other = FakeReplica(mute=True), FakeReplica(seconds=0.02)
    cluster = Cluster(loop, mute, other, hang_seconds=0.2)
    began = time.monotonic()
    assert len(cluster.sample(6)) == 6
    assert time.monotonic() - began < 5
    (loss,) = cluster.engine.losses
    assert loss.startswith("a: ") and "nothing came for 0.2 s" in loss and "3 requests" in loss
    assert mute.killed and not other.killed


def test_a_replica_that_grows_silent_gets_no_new_requests(loop):
    mute, other = FakeReplica(mute=True), FakeReplica()
    cluster = Cluster(loop, mute, other, hang_seconds=4.0)
    waiting = loop.submit(cluster.engine.sample(PROMPTS[0], Sampling(id="first", limit=30)))
    wait_for(lambda: cluster.engine.health["a"] is Health.SUSPECT)
    cluster.sample(3)
    assert mute.asked == ["first"] and other.asked == ["r0", "r1", "r2"]
    mute.tokens_received += 1
    wait_for(lambda: cluster.engine.health["a"] is Health.SERVING)
    waiting.cancel()


def test_dropped_answers_are_asked_for_again_and_cost_no_replica(loop):
    dropping, other = FakeReplica(drops=["r0", "r2"]), FakeReplica()
    cluster = Cluster(loop, dropping, other)
    completions = cluster.sample(4)
    assert sorted(c.id for c in completions) == ["r0+1", "r1", "r2+1", "r3"]
    assert cluster.engine.losses == []


def test_a_replica_that_drops_everything_is_lost(loop):
    requests = {f"r{index}" for index in range(100)}
    dropping, other = FakeReplica(drops=requests), FakeReplica()
    cluster = Cluster(loop, dropping, other)
    assert len(cluster.sample(4 * MOST_DROPS)) == 4 * MOST_DROPS
    (loss,) = cluster.engine.losses
    assert "drops one answer after another" in loss


def test_what_a_full_queue_refuses_goes_elsewhere(loop):
    small, large = FakeReplica(queue=2, seconds=0.02), FakeReplica(seconds=0.02)
    cluster = Cluster(loop, small, large)
    completions = cluster.sample(12)
    assert sum("+" in c.id for c in completions) == 4
    assert small.most_running == 2 and cluster.engine.losses == []


def test_when_all_are_lost_the_engine_is_and_says_what_happened_to_each(loop):
    replicas = [FakeReplica(), FakeReplica()]
    cluster = Cluster(loop, *replicas)
    replicas[0].death, replicas[1].death = "killed by SIGKILL", "ended with exit code 1"
    wait_for(lambda: set(cluster.engine.health.values()) == {Health.LOST})
    with pytest.raises(EngineLost, match="all of 2 x fake are lost") as told:
        loop.run(cluster.engine.sample(PROMPTS[0], Sampling(id="r", limit=3)))
    assert "a: " in str(told.value) and "killed by SIGKILL" in str(told.value)
    assert "b: " in str(told.value) and "exit code 1" in str(told.value)
    wait_for(lambda: cluster.supervisor.losses)
    assert str(told.value) in cluster.supervisor.losses[0]


def test_books_balance_when_replicas_die_hang_drop_and_come_back(loop):
    dies, hangs = FakeReplica(mute=True), FakeReplica(mute=True)
    healthy = FakeReplica(drops=["0/p2/0", "0/p2/1"], queue=6, seconds=0.01)
    cluster = Cluster(loop, dies, hangs, healthy, hang_seconds=0.4)
    records = []

    async def right(prompt, completion):
        return Verdict(correct=True)

    stream = Stream(
        cluster.supervisor, right, lambda group, verdicts: True, cluster.supervisor,
        StreamSettings(group_size=4, seed=0), records.append,
    )  # fmt: skip
    cluster.supervisor.on_reissue = stream.reissued
    cluster.soon(lambda: setattr(dies, "death", "killed"), 0.1)
    num_groups = 3
    for step, coming in enumerate(([], [FakeReplica(), FakeReplica()], [])):
        cluster.coming += coming
        cluster.publish(cluster.supervisor, step)
        prompts = PROMPTS[num_groups * step : num_groups * (step + 1)]
        stream.submit(Request(prompt=prompt, limit=30, step=step) for prompt in prompts)
        assert len(stream.next_batch(num_groups, version=step)) == num_groups
    cluster.supervisor.shutdown()
    stream.close()
    fates = [record.fate for record in records]
    assert fates.count(Fate.TRAINED) == 3 * num_groups * 4
    assert set(fates) == {Fate.TRAINED, Fate.LOST}
    assert len({record.id for record in records}) == len(records) == sum(stream.fates.values())
    assert [label for label, _ in cluster.starts] == ["a", "b"]
