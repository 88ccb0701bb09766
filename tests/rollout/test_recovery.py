from collections import deque

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from rollout.recovery import HangClock, Need, Patience, Recovery


def patience(max_restarts=1, window_seconds=100.0, hang_seconds=10.0):
    return Patience(
        hang_seconds=hang_seconds, max_restarts=max_restarts, window_seconds=window_seconds
    )


def test_a_lost_engine_is_started_again_then_given_weights_then_serves():
    recovery = Recovery(patience())
    needs = [recovery.need]
    for event in (
        lambda: recovery.lost(0, 5.0, "killed"),
        recovery.started,
        lambda: recovery.published(1),
    ):
        event()
        needs.append(recovery.need)
    assert needs == [Need.NOTHING, Need.ENGINE, Need.WEIGHTS, Need.NOTHING]


def test_a_second_loss_within_the_window_ends_a_budget_of_one():
    recovery = Recovery(patience(max_restarts=1, window_seconds=100))
    recovery.lost(0, 0.0, "killed")
    recovery.started()
    recovery.published(1)
    recovery.lost(1, 100.0, "hung")
    assert (recovery.need, recovery.losses) == (Need.END, ["killed", "hung"])


def test_a_loss_before_the_window_is_forgiven():
    recovery = Recovery(patience(max_restarts=1, window_seconds=100))
    recovery.lost(0, 0.0, "killed")
    recovery.started()
    recovery.lost(1, 100.1, "hung")
    assert recovery.need is Need.ENGINE


def test_without_restarts_the_first_loss_ends_the_run():
    recovery = Recovery(patience(max_restarts=0))
    recovery.lost(0, 0.0, "killed")
    assert recovery.need is Need.END


def test_an_engine_that_does_not_start_uses_the_budget_up():
    recovery = Recovery(patience(max_restarts=2))
    recovery.lost(0, 0.0, "killed")
    recovery.not_started(1.0, "no memory")
    assert recovery.need is Need.ENGINE
    recovery.not_started(2.0, "no memory")
    assert recovery.need is Need.END


def test_every_request_reports_a_loss_and_one_counts():
    recovery = Recovery(patience())
    assert [recovery.lost(0, 1.0, "killed") for _ in range(256)] == [True] + [False] * 255
    recovery.started()
    assert not recovery.lost(0, 2.0, "killed") and recovery.need is Need.WEIGHTS


def test_weights_that_went_to_a_lost_engine_do_not_count():
    recovery = Recovery(patience(max_restarts=9))
    recovery.lost(0, 0.0, "killed")
    recovery.started()
    recovery.lost(1, 1.0, "killed in the transfer")
    recovery.started()
    assert not recovery.published(1) and recovery.need is Need.WEIGHTS
    assert recovery.published(2) and recovery.need is Need.NOTHING


class Events(RuleBasedStateMachine):
    """Any order of events: the budget is kept, and nothing is served without weights."""

    WINDOW, MOST = 60.0, 2

    def __init__(self):
        super().__init__()
        self.recovery = Recovery(patience(max_restarts=self.MOST, window_seconds=self.WINDOW))
        self.now = 0.0
        self.losses = deque()
        self.with_weights = {0}

    @rule(seconds=st.floats(0, 50))
    def time_passes(self, seconds):
        self.now += seconds

    @rule(age=st.integers(0, 2))
    def loss_is_reported(self, age):
        incarnation = self.recovery.incarnation - age
        if self.recovery.lost(incarnation, self.now, f"loss of {incarnation}"):
            assert age == 0
            self.losses.append(self.now)

    @precondition(lambda self: self.recovery.need is Need.ENGINE)
    @rule(comes_up=st.booleans())
    def engine_is_started(self, comes_up):
        if comes_up:
            self.recovery.started()
        else:
            self.recovery.not_started(self.now, "refused")
            self.losses.append(self.now)

    @rule(age=st.integers(0, 2))
    def weights_are_published(self, age):
        incarnation = self.recovery.incarnation - age
        if self.recovery.published(incarnation):
            self.with_weights.add(incarnation)

    @invariant()
    def only_an_engine_with_weights_serves(self):
        if self.recovery.need is Need.NOTHING:
            assert self.recovery.incarnation in self.with_weights

    @invariant()
    def every_loss_is_told_once(self):
        assert len(self.recovery.losses) == len(self.losses)

    @invariant()
    def the_run_ends_with_the_first_loss_beyond_the_budget(self):
        spent = bool(self.losses) and (
            sum(at >= self.losses[-1] - self.WINDOW for at in self.losses) > self.MOST
        )
        assert (self.recovery.need is Need.END) == spent


Events.TestCase.settings = settings(max_examples=25, deadline=None)
test_every_order_of_events_keeps_the_budget = Events.TestCase


def quiet(ticks, longest_gap=1.0):
    clock = HangClock(longest_gap)
    for now, mark, at_work in ticks:
        clock.tick(now, mark, at_work=at_work)
    return clock.quiet_seconds


def test_silence_adds_up_until_a_token_comes():
    assert quiet([(0, 5, True), (0.5, 5, True), (1.0, 5, True)]) == 1.0
    assert quiet([(0, 5, True), (0.5, 5, True), (1.0, 6, True)]) == 0.0


def test_an_engine_without_work_may_be_silent():
    assert quiet([(0, 5, False), (0.5, 5, False), (1.0, 5, False)]) == 0.0


def test_time_in_which_nobody_watched_is_no_hang():
    """The whole process group was stopped for an hour: nothing could have been heard."""
    assert quiet([(0, 5, True), (3600, 5, True)]) == pytest.approx(1.0)


@settings(max_examples=50, deadline=None)
@given(st.lists(st.tuples(st.floats(0, 0.9), st.booleans(), st.booleans()), max_size=40))
def test_silence_is_the_time_since_the_last_progress_or_idleness(steps):
    now, mark, since, ticks = 0.0, 0, 0.0, [(0.0, 0, True)]
    for gap, progress, at_work in steps:
        now += gap
        mark += progress
        since = now if progress or not at_work else since
        ticks.append((now, mark, at_work))
    assert quiet(ticks) == pytest.approx(now - since)
