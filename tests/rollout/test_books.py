import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from data.types import Completion, Finish, Span
from rollout.books import Books, Fate, FateRecord


def completion(completion_id, versions=(3, 5), finish=Finish.STOP):
    spans = tuple(
        Span(start=i, stop=i + 1, weight_version=version) for i, version in enumerate(versions)
    )
    return Completion(
        id=completion_id,
        text="",
        token_ids=np.zeros(len(versions)),
        logprobs=np.zeros(len(versions)),
        limit=9,
        finish=finish,
        spans=spans,
    )


def test_a_record_tells_how_a_completion_ended():
    records = []
    books = Books(records.append)
    books.submit("a", "p", step=2)
    books.ended(completion("a", finish=Finish.LIMIT))
    books.judged("a", grader_failed=False)
    books.settle("a", Fate.TRAINED)
    assert records == [
        FateRecord(
            id="a",
            prompt_id="p",
            step=2,
            versions=(3, 5),
            finish=Finish.LIMIT,
            tokens=2,
            fate=Fate.TRAINED,
        )
    ]


def test_a_completion_that_never_ended_has_neither_versions_nor_finish_nor_tokens():
    records = []
    books = Books(records.append)
    books.submit("a", "p", step=2)
    books.settle_running(Fate.ABORTED)
    [record] = records
    assert (record.versions, record.finish, record.tokens) == (None, None, 0)
    assert record.fate is Fate.ABORTED


def test_an_id_in_use_is_refused():
    books = Books(lambda record: None)
    books.submit("a", "p", step=0)
    with pytest.raises(ValueError, match="request id a is in use"):
        books.submit("a", "q", step=0)


def judged_books(failures):
    books = Books(lambda record: None)
    for index, failed in enumerate(failures):
        books.submit(f"{index}", "p", step=0)
        books.judged(f"{index}", grader_failed=failed)
    return books


def test_ten_failures_in_a_thousand_are_tolerated_and_eleven_are_not():
    assert judged_books([True] * 10 + [False] * 990).grader_problem() is None
    problem = judged_books([True] * 11 + [False] * 989).grader_problem()
    assert problem is not None
    assert "11 of the last 1000" in problem


def test_failures_more_than_a_thousand_completions_ago_are_forgotten():
    assert judged_books([True] * 11 + [False] * 990).grader_problem() is None


def test_a_grader_that_always_fails_is_noticed_after_eleven_completions():
    assert judged_books([True] * 10).grader_problem() is None
    assert judged_books([True] * 11).grader_problem() is not None


class Schedules(RuleBasedStateMachine):
    """Any order of events leaves every completion in exactly one place."""

    def __init__(self):
        super().__init__()
        self.records = []
        self.books = Books(self.records.append)
        self.running, self.waiting = [], []
        self.num_submitted = 0

    @rule()
    def submit(self):
        name = f"c{self.num_submitted}"
        self.num_submitted += 1
        self.books.submit(name, "p", step=0)
        self.running.append(name)

    @precondition(lambda self: self.running)
    @rule(data=st.data(), grader_failed=st.booleans())
    def judge(self, data, grader_failed):
        name = data.draw(st.sampled_from(self.running))
        self.running.remove(name)
        self.books.ended(completion(name))
        self.books.judged(name, grader_failed=grader_failed)
        if not grader_failed:
            self.waiting.append(name)

    @precondition(lambda self: self.waiting or self.running)
    @rule(data=st.data(), fate=st.sampled_from(list(Fate)))
    def settle(self, data, fate):
        name = data.draw(st.sampled_from(self.waiting + self.running))
        (self.waiting if name in self.waiting else self.running).remove(name)
        self.books.settle(name, fate)

    @rule()
    def close(self):
        self.books.settle_running(Fate.ABORTED)
        self.books.settle_waiting(Fate.UNUSED)
        self.running, self.waiting = [], []

    @invariant()
    def every_completion_is_in_one_place(self):
        books = self.books
        assert books.running == len(self.running)
        assert books.waiting == len(self.waiting)
        assert sum(books.fates.values()) == len(self.records)
        assert books.submitted == books.running + books.waiting + sum(books.fates.values())
        assert len({record.id for record in self.records}) == len(self.records)


Schedules.TestCase.settings = settings(max_examples=40, deadline=None)
test_every_schedule_accounts_for_every_completion = Schedules.TestCase


@given(st.lists(st.booleans(), max_size=60))
def test_the_count_of_failures_is_the_number_of_failed_grades(failures):
    assert judged_books(failures).fates[Fate.GRADER_FAILED] == sum(failures)
