import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rollout.recovery import Patience
from rollout.replication.roster import MOST_DROPS, Health, Roster

PATIENCE = Patience(hang_seconds=10.0, max_restarts=1, window_seconds=100.0)


@pytest.fixture
def roster():
    return Roster(["left", "right"], PATIENCE)


def test_all_serve_at_first(roster):
    assert roster.with_health(Health.SERVING) == roster.usable() == roster.running() == [0, 1]


def test_a_silent_replica_gets_nothing_new_until_it_is_heard(roster):
    roster.silent(0)
    assert (roster.health(0), roster.usable()) == (Health.SUSPECT, [1])
    roster.heard(0)
    assert roster.usable() == [0, 1]


def test_suspects_are_used_when_there_are_no_others(roster):
    roster.silent(0)
    roster.silent(1)
    assert roster.usable() == [0, 1]


def test_tokens_do_not_clear_a_replica_that_drops_answers_and_an_answer_does(roster):
    assert not roster.dropped(0)
    roster.heard(0)
    assert roster.health(0) is Health.SUSPECT
    roster.answered(0)
    assert roster.health(0) is Health.SERVING


def test_too_many_drops_in_a_row_are_no_chance(roster):
    assert [roster.dropped(0) for _ in range(MOST_DROPS + 1)] == [False] * MOST_DROPS + [True]
    roster.answered(0)
    assert not roster.dropped(0)


def test_a_lost_replica_serves_again_once_started_and_given_weights(roster):
    assert roster.lost(0, 0, 1.0, "killed")
    assert (roster.health(0), roster.waiting(), roster.running()) == (Health.LOST, [0], [1])
    roster.started(0)
    assert (roster.health(0), roster.waiting(), roster.running()) == (Health.LOST, [], [0, 1])
    assert roster.published(0)
    assert roster.usable() == [0, 1] and roster.incarnation(0) == 1


def test_a_loss_is_told_once_and_a_late_report_of_it_changes_nothing(roster):
    assert roster.lost(0, 0, 1.0, "killed")
    assert not roster.lost(0, 0, 1.1, "killed")
    roster.started(0)
    roster.published(0)
    assert not roster.lost(0, 0, 2.0, "killed")
    assert roster.losses == ["left: killed"]


def test_a_replica_is_left_out_beyond_its_own_budget(roster):
    roster.lost(0, 0, 1.0, "killed")
    roster.not_started(0, 2.0, "no memory")
    assert (roster.health(0), roster.waiting()) == (Health.LEFT_OUT, [])
    assert roster.health(1) is Health.SERVING
    assert roster.losses == ["left: killed", "left: no memory"]


class Histories(RuleBasedStateMachine):
    """Any order of events leaves every replica in exactly one state, and nothing lost is used."""

    def __init__(self):
        super().__init__()
        self.roster, self.now = Roster(["a", "b", "c"], PATIENCE), 0.0

    @rule(replica=st.integers(0, 2), event=st.sampled_from(["silent", "heard", "answered"]))
    def hear(self, replica, event):
        if replica in self.roster.usable():
            getattr(self.roster, event)(replica)

    @rule(replica=st.integers(0, 2), late=st.booleans(), seconds=st.floats(0, 60))
    def lose(self, replica, late, seconds):
        self.now += seconds
        incarnation = self.roster.incarnation(replica) - late
        runs = replica in self.roster.running()
        assert self.roster.lost(replica, incarnation, self.now, "lost") == (runs and not late)

    @precondition(lambda self: self.roster.waiting())
    @rule(starts=st.booleans())
    def replace(self, starts):
        replica = self.roster.waiting()[0]
        if starts:
            self.roster.started(replica)
        else:
            self.roster.not_started(replica, self.now, "did not start")

    @rule()
    def publish(self):
        for replica in self.roster.running():
            self.roster.published(replica)
        assert set(self.roster.running()) == set(
            self.roster.with_health(Health.SERVING, Health.SUSPECT)
        )

    @invariant()
    def states_fit_together(self):
        serving, suspect, lost, left_out = (self.roster.with_health(each) for each in Health)
        assert sorted([*serving, *suspect, *lost, *left_out]) == [0, 1, 2]
        assert set(self.roster.usable()) == set(serving or suspect)
        assert set(self.roster.waiting()) <= set(lost)
        assert set(self.roster.running()) | set(self.roster.waiting()) | set(left_out) == {0, 1, 2}


TestHistories = Histories.TestCase
TestHistories.settings = settings(max_examples=25, stateful_step_count=20)
