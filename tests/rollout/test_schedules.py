"""The stream's rules, held over thousands of drawn runs, and broken by bugs that are planted."""

import asyncio
import dataclasses
import logging

import pytest

from data.types import Verdict
from rollout.books import Fate
from rollout.stream import Stream
from tests.rollout.schedules import answers, drawn, play, synchronous
from tests.virtual_time import Deadlock


@pytest.fixture(autouse=True)
def quiet_about_lost_engines():
    logging.disable(logging.WARNING)
    yield
    logging.disable(logging.NOTSET)


def hold(seeds):
    for seed in seeds:
        schedule = drawn(seed)
        batches = play(schedule)
        if schedule.max_staleness == 0:
            assert answers(batches) == synchronous(schedule)[: len(batches)], schedule


def broken_by(build, schedules, error=AssertionError):
    """The messages of the schedules in which a planted bug shows."""
    found = []
    for schedule in schedules:
        try:
            play(schedule, build)
        except error as problem:
            found.append(str(problem))
    return found


def asynchronous(count, **changes):
    """Schedules of engines that live, with in-flight updates."""
    changes = {"max_staleness": 1, "closes_early": False, "engine_dies": 0.0, **changes}
    return [dataclasses.replace(drawn(seed), **changes) for seed in range(count)]


def test_200_schedules_keep_every_rule():
    hold(range(200))


@pytest.mark.long
def test_10000_schedules_keep_every_rule():
    hold(range(200, 10_200))


def test_a_schedule_repeats():
    first, second = play(drawn(12)), play(drawn(12))
    assert answers(first) == answers(second) and len(first) >= 2


def test_schedules_reach_what_they_are_to_test():
    """Old groups, mixed versions, losses and all that a fate can be, in 60 of them."""
    fates, ages, mixed = set(), set(), 0
    for seed in range(60):

        def build(*parts, **more):
            engine, verify, keep, loop, settings, on_fate = parts

            def tell(record):
                fates.add(record.fate)
                on_fate(record)

            return Stream(engine, verify, keep, loop, settings, tell, **more)

        for step, batch in enumerate(play(drawn(seed), build)):
            ages |= {step - judged.oldest_version for judged in batch}
            mixed += sum(len(c.spans) > 1 for judged in batch for c in judged.group.completions)
    assert fates >= set(Fate) - {Fate.STALE, Fate.UNUSED}
    assert ages == {0, 1, 2, 3}
    assert mixed > 25


def test_a_stream_that_is_wrong_about_staleness_by_one_is_found():
    def build(engine, verify, keep, loop, settings, on_fate, **more):
        wrong = dataclasses.replace(settings, max_staleness=settings.max_staleness + 1)
        return Stream(engine, verify, keep, loop, wrong, on_fate, **more)

    assert any("trained in step" in found for found in broken_by(build, asynchronous(40)))


def test_a_stream_that_forgets_a_fate_is_found():
    def build(engine, verify, keep, loop, settings, on_fate, **more):
        def tell(record):
            if record.fate is not Fate.UNIFORM:
                on_fate(record)

        return Stream(engine, verify, keep, loop, settings, tell, **more)

    found = broken_by(build, asynchronous(10, differ=0.0))
    assert found and all("without a fate" in each for each in found)


def test_a_stream_that_tells_a_fate_twice_is_found():
    def build(engine, verify, keep, loop, settings, on_fate, **more):
        def tell(record):
            on_fate(record)
            on_fate(record)

        return Stream(engine, verify, keep, loop, settings, tell, **more)

    assert all("has two fates" in found for found in broken_by(build, asynchronous(3)))


def test_a_stream_whose_books_do_not_balance_is_found():
    class Miscounting(Stream):
        @property
        def running(self):
            return super().running + 1

    assert set(broken_by(Miscounting, asynchronous(3))) == {"the books do not balance"}


def test_a_stream_that_does_not_hear_of_reissues_is_found():
    class Deaf(Stream):
        def reissued(self, lost_id, fresh_id): ...

    assert broken_by(Deaf, asynchronous(10, engine_dies=1.0), KeyError)


def test_a_verdict_that_never_comes_is_a_deadlock():
    def build(engine, verify, keep, loop, settings, on_fate, **more):
        async def never(prompt, completion) -> Verdict:
            if completion.id.endswith("/1"):
                await asyncio.Event().wait()
            return await verify(prompt, completion)

        return Stream(engine, never, keep, loop, settings, on_fate, **more)

    assert broken_by(build, asynchronous(2), Deadlock)


def test_a_stream_that_takes_whatever_ends_first_is_not_the_synchronous_run():
    """Staleness 0 hands out groups in their order; one that does not is another run."""

    def build(engine, verify, keep, loop, settings, on_fate, **more):
        hasty = dataclasses.replace(settings, max_staleness=1)
        return Stream(engine, verify, keep, loop, hasty, on_fate, **more)

    schedules = asynchronous(40, max_staleness=0, aborts=0.0, grader_fails=0.0)
    others = [s for s in schedules if answers(play(s, build)) != synchronous(s)]
    assert others and all(answers(play(s)) == synchronous(s) for s in schedules)
