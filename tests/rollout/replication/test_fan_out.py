import pytest

from rollout import supervisor as supervisor_module
from rollout.background import BackgroundLoop
from rollout.engine import EngineError, EngineLost
from rollout.replication import engine as replicas_module
from rollout.replication.roster import Health
from tests.rollout.cluster import Cluster, wait_for
from tests.rollout.mortal import FakeReplica


@pytest.fixture
def loop(monkeypatch):
    monkeypatch.setattr(supervisor_module, "POLL_SECONDS", 0.01)
    monkeypatch.setattr(replicas_module, "POLL_SECONDS", 0.01)
    background = BackgroundLoop()
    yield background
    background.close()


def test_all_replicas_get_the_same_buckets_and_the_version(loop):
    replicas = [FakeReplica(), FakeReplica(), FakeReplica()]
    cluster = Cluster(loop, *replicas)
    cluster.publish(cluster.supervisor, 4)
    assert [replica.transfers[0].sent for replica in replicas] == [[["bucket"]]] * 3
    assert cluster.engine.weight_version == 4
    assert {c.weight_versions for c in cluster.sample(9)} == {(4, 4)}


def test_all_replicas_turn_to_their_drafters(loop):
    replicas = [FakeReplica(), FakeReplica()]
    supervisor = Cluster(loop, *replicas).supervisor
    supervisor.start()
    supervisor.send(["policy"])
    supervisor.turn_to_drafter()
    supervisor.send(["draft"])
    supervisor.finish(1)
    sent = [["policy"], "drafter", ["draft"]]
    assert [replica.transfers[0].sent for replica in replicas] == [sent] * 2


def test_a_replica_lost_in_the_middle_of_a_sync_leaves_the_others_their_weights(loop):
    def breaks():
        raise EngineLost("killed by SIGKILL")

    broken, other = FakeReplica(breaks=breaks), FakeReplica()
    cluster = Cluster(loop, broken, other)
    cluster.publish(cluster.supervisor, 7)
    assert cluster.engine.health == {"a": Health.LOST, "b": Health.SERVING}
    assert {c.weight_versions for c in cluster.sample(4)} == {(7, 7)}


def test_a_replica_that_hangs_in_a_sync_is_killed_and_the_sync_goes_on(loop):
    def waits_for_ever():
        wait_for(lambda: hung.killed)
        raise EngineLost(hung.killed)

    hung, other = FakeReplica(breaks=waits_for_ever), FakeReplica()
    cluster = Cluster(loop, hung, other, hang_seconds=0.2)
    cluster.publish(cluster.supervisor, 7)
    assert "while a weight transfer waited" in cluster.engine.losses[0]
    assert cluster.sample(1)[0].weight_versions == (7, 7)


def test_a_lost_replica_is_replaced_at_the_next_publication_and_serves_its_weights(loop):
    lost, other, fresh = FakeReplica(), FakeReplica(), FakeReplica()
    cluster = Cluster(loop, lost, other)
    cluster.publish(cluster.supervisor, 1)
    lost.death = "killed"
    wait_for(lambda: cluster.engine.health["a"] is Health.LOST)
    cluster.sample(4)
    cluster.coming = [fresh]
    cluster.publish(cluster.supervisor, 2)
    assert cluster.starts == [("a", 1)] and lost.transfers[0].closed
    assert cluster.engine.health == {"a": Health.SERVING, "b": Health.SERVING}
    assert {c.weight_versions for c in cluster.sample(4)} == {(2, 2)}
    assert len(fresh.asked) == 2
    cluster.publish(cluster.supervisor, 3)
    assert cluster.held == [False, False, True]


def test_a_replica_that_is_not_there_yet_is_waited_for_without_a_charge(loop):
    lost, other = FakeReplica(), FakeReplica()
    cluster = Cluster(loop, lost, other, max_restarts=1)
    lost.death = "killed"
    wait_for(lambda: cluster.engine.health["a"] is Health.LOST)
    cluster.coming = [None, None, None, FakeReplica()]
    for version in range(1, 5):
        cluster.publish(cluster.supervisor, version)
    assert cluster.engine.health["a"] is Health.SERVING


def test_a_replica_beyond_its_budget_is_left_out(loop):
    lost, other = FakeReplica(), FakeReplica()
    cluster = Cluster(loop, lost, other, max_restarts=1)
    lost.death = "killed"
    wait_for(lambda: cluster.engine.health["a"] is Health.LOST)
    cluster.coming = [EngineError("vllm did not start: no memory")]
    for version in range(1, 4):
        cluster.publish(cluster.supervisor, version)
    assert cluster.engine.health == {"a": Health.LEFT_OUT, "b": Health.SERVING}
    assert len(cluster.starts) == 1 and len(cluster.sample(4)) == 4


def test_admission_together_reaches_the_replica_that_comes_later(loop):
    lost, other, fresh = FakeReplica(), FakeReplica(), FakeReplica()
    cluster = Cluster(loop, lost, other)
    cluster.engine.admit_together()
    lost.death = "killed"
    wait_for(lambda: cluster.engine.health["a"] is Health.LOST)
    cluster.coming = [fresh]
    cluster.publish(cluster.supervisor, 1)
    assert other.together and fresh.together
