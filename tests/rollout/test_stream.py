import asyncio
import dataclasses
import random
import threading
import time
from collections import Counter

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.types import Finish, Prompt, Verdict
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.engine import EngineError
from rollout.samplings import Request, StreamSettings, completion_seed
from rollout.stream import GraderError, Stream, as_it_is
from tests.fakes import FakeEngine

RIGHT, WRONG, FAILED = Verdict(correct=True), Verdict(correct=False), Verdict(correct=None)


@pytest.fixture(scope="module")
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


@pytest.fixture
def make(loop):
    """Builds streams of groups of four and closes them; `records` collects their fates."""
    streams = []

    def build(
        engine=None,
        verdict=lambda c: RIGHT,
        keep=lambda group, verdicts: True,
        records=None,
        revise=as_it_is,
        **options,
    ):
        async def verify(prompt, completion):
            return verdict(completion)

        records = [] if records is None else records
        settings = StreamSettings(**{"group_size": 4, "seed": 1, **options})
        stream = Stream(
            engine or FakeEngine(), verify, keep, loop, settings, records.append, revise
        )
        streams.append(stream)
        return stream

    yield build
    for stream in streams:
        stream.close()


def prompts(*names):
    return [Prompt(id=n, messages=(), token_ids=np.array([1]), answer="7") for n in names]


def requests(*names, step=0, limit=40):
    return [Request(prompt=p, limit=limit, step=step) for p in prompts(*names)]


def ids(batch):
    return [judged.group.prompt.id for judged in batch]


def index(completion):
    return int(completion.id.rsplit("/", 1)[1])


def test_a_request_becomes_a_judged_group(make):
    stream = make(verdict=lambda c: RIGHT if index(c) < 2 else WRONG)
    stream.submit(requests("a", step=3))
    (judged,) = stream.next_batch(1, version=0)
    assert [c.id for c in judged.group.completions] == ["3/a/0", "3/a/1", "3/a/2", "3/a/3"]
    assert judged.verdicts == (RIGHT, RIGHT, WRONG, WRONG)
    assert all(c.limit == 40 for c in judged.group.completions)


def test_groups_come_out_in_the_order_of_submission_whoever_ended_first(make):
    slow_first = FakeEngine(seconds=lambda s: 0.1 if "/a/" in s.id else 0.0)
    stream = make(slow_first)
    stream.submit(requests("a", "b", "c"))
    assert ids(stream.next_batch(2, version=0)) == ["a", "b"]
    assert ids(stream.next_batch(2, version=0)) == ["c"]


def test_with_staleness_the_groups_that_ended_first_come_out_first(make):
    slow_first = FakeEngine(seconds=lambda s: 0.2 if "/a/" in s.id else 0.0)
    stream = make(slow_first, max_staleness=1, groups_ahead=2, groups_per_update=2)
    stream.submit(requests("a", "b", "c"))
    assert ids(stream.next_batch(2, version=0)) == ["b", "c"]
    assert ids(stream.next_batch(1, version=1)) == ["a"]


def test_answers_are_judged_while_others_still_generate(loop):
    events = []
    engine = FakeEngine(seconds=lambda s: 0.0 if s.id.endswith("/0") else 0.1)

    async def verify(prompt, completion):
        events.append((completion.id, stream.running))
        return RIGHT

    stream = Stream(
        engine, verify, lambda group, verdicts: True, loop, StreamSettings(group_size=2)
    )
    stream.submit(requests("a"))
    stream.next_batch(1, version=0)
    stream.close()
    assert events[0] == ("0/a/0", 2)


def test_fewer_groups_come_when_everything_submitted_has_ended(make):
    stream = make()
    stream.submit(requests("a", "b"))
    assert ids(stream.next_batch(5, version=0)) == ["a", "b"]
    assert stream.next_batch(5, version=0) == []


def test_dynamic_sampling_drops_groups_by_their_verdicts(make):
    records = []
    stream = make(
        verdict=lambda c: RIGHT if "/a/" in c.id or index(c) == 0 else WRONG,
        keep=lambda group, verdicts: len({v.correct for v in verdicts}) > 1,
        records=records,
    )
    stream.submit(requests("a", "b"))
    assert ids(stream.next_batch(2, version=0)) == ["b"]
    assert Counter(r.fate for r in records) == {Fate.UNIFORM: 4, Fate.TRAINED: 4}
    assert {r.prompt_id for r in records if r.fate is Fate.UNIFORM} == {"a"}


def test_dynamic_sampling_sees_the_group_beside_its_verdicts(make):
    stream = make(keep=lambda group, verdicts: group.prompt.id == "b" and len(verdicts) == 4)
    stream.submit(requests("a", "b"))
    assert ids(stream.next_batch(2, version=0)) == ["b"]


def test_a_group_is_revised_before_it_is_kept_or_dropped(make):
    def revise(group, verdicts):
        first, *others = group.completions
        cut = dataclasses.replace(first, finish=Finish.LIMIT)
        return dataclasses.replace(group, completions=(cut, *others)), [WRONG, *verdicts[1:]]

    records = []
    stream = make(
        keep=lambda group, verdicts: len({v.correct for v in verdicts}) > 1,
        records=records,
        revise=revise,
    )
    stream.submit(requests("a"))
    (judged,) = stream.next_batch(1, version=0)
    assert judged.verdicts == (WRONG, RIGHT, RIGHT, RIGHT)
    assert [c.truncated for c in judged.group.completions] == [True, False, False, False]
    assert Counter(r.fate for r in records) == {Fate.TRAINED: 4}


def test_groups_that_no_batch_took_are_waited_for_and_dropped(make):
    records = []
    engine = FakeEngine(seconds=lambda s: 0.1 if "/c/" in s.id else 0.0)
    stream = make(
        engine,
        keep=lambda group, verdicts: group.prompt.id != "d",
        records=records,
    )
    stream.submit(requests("a", "b", "c", "d"))
    assert ids(stream.next_batch(1, version=0)) == ["a"]
    assert stream.end_step() == 3 / 4
    assert stream.running == 0
    fates = {r.prompt_id: r.fate for r in records}
    assert fates == {"a": Fate.TRAINED, "b": Fate.UNUSED, "c": Fate.UNUSED, "d": Fate.UNIFORM}
    stream.submit(requests("e", step=1))
    assert ids(stream.next_batch(1, version=0)) == ["e"]
    assert stream.end_step() == 1.0


def test_a_failure_among_the_groups_that_no_batch_took_is_raised(make):
    engine = FakeEngine(
        seconds=lambda s: 0.1 if "/b/" in s.id else 0.0, fails=lambda s: "/b/" in s.id
    )
    stream = make(engine)
    stream.submit(requests("a", "b"))
    assert ids(stream.next_batch(1, version=0)) == ["a"]
    with pytest.raises(EngineError, match="told to fail"):
        stream.end_step()


def test_a_completion_whose_grader_failed_leaves_its_group(make):
    records = []
    stream = make(verdict=lambda c: FAILED if index(c) == 1 else RIGHT, records=records)
    stream.submit(requests("a"))
    (judged,) = stream.next_batch(1, version=0)
    assert [index(c) for c in judged.group.completions] == [0, 2, 3]
    assert len(judged.verdicts) == 3
    assert Counter(r.fate for r in records) == {Fate.GRADER_FAILED: 1, Fate.TRAINED: 3}


def test_a_group_that_falls_under_two_is_dropped(make):
    records = []
    stream = make(verdict=lambda c: RIGHT if index(c) == 0 else FAILED, records=records)
    stream.submit(requests("a"))
    assert stream.next_batch(1, version=0) == []
    assert Counter(r.fate for r in records) == {Fate.GRADER_FAILED: 3, Fate.TOO_FEW: 1}


def test_an_aborted_completion_leaves_its_group_unjudged(make):
    class Aborting(FakeEngine):
        async def sample(self, prompt, sampling):
            completion = await super().sample(prompt, sampling)
            if not sampling.id.endswith("/0"):
                return completion
            return dataclasses.replace(completion, finish=Finish.ABORTED)

    stream = make(Aborting())
    stream.submit(requests("a"))
    (judged,) = stream.next_batch(1, version=0)
    assert [index(c) for c in judged.group.completions] == [1, 2, 3]
    assert stream.fates[Fate.ABORTED] == 1


def test_stale_groups_are_dropped_by_their_oldest_token(make):
    records = []
    engine = FakeEngine()
    stream = make(engine, records=records)
    stream.submit(requests("a", "b"))
    assert ids(stream.next_batch(1, version=0)) == ["a"]
    assert stream.next_batch(1, version=1) == []
    engine.weight_version = 1
    stream.submit(requests("c", step=1))
    assert ids(stream.next_batch(1, version=1)) == ["c"]
    assert Counter(r.fate for r in records) == {Fate.TRAINED: 8, Fate.STALE: 4}


def test_a_group_may_be_as_old_as_the_bound(make):
    stream = make(max_staleness=2)
    stream.submit(requests("a"))
    assert ids(stream.next_batch(1, version=2)) == ["a"]
    stream.submit(requests("b"))
    assert stream.next_batch(1, version=3) == []


def test_room_counts_what_runs_and_what_is_ready(make):
    stream = make(max_staleness=1, groups_ahead=3, groups_per_update=3)
    assert stream.room(9) == 6
    stream.submit(requests("a", "b"))
    assert stream.room(9) == 4
    stream.next_batch(1, version=0)
    assert stream.room(9) == 4
    stream.end_step()
    assert stream.room(9) == 5


def test_room_ends_with_the_updates_that_are_left(make):
    stream = make(max_staleness=2, groups_ahead=6, groups_per_update=3)
    assert [stream.room(updates_left) for updates_left in (5, 2, 1, 0)] == [9, 9, 6, 3]


def test_a_failed_request_raises_with_the_engines_message(make):
    stream = make(FakeEngine(fails=lambda s: s.id == "0/b/2"))
    stream.submit(requests("a", "b"))
    with pytest.raises(EngineError, match="0/b/2: the fake engine was told to fail"):
        stream.next_batch(2, version=0)
    with pytest.raises(EngineError):
        stream.next_batch(2, version=0)
    stream.close()
    assert sum(stream.fates.values()) == 8


def test_a_failure_is_raised_while_others_still_generate(make):
    engine = FakeEngine(
        seconds=lambda s: 0.0 if "/a/" in s.id else 60.0, fails=lambda s: "/a/" in s.id
    )
    stream = make(engine)
    stream.submit(requests("a", "b"))
    with pytest.raises(EngineError):
        stream.next_batch(2, version=0)


def test_a_verifier_that_raises_is_not_a_wrong_answer(make):
    def broken(completion):
        raise ZeroDivisionError("broken verifier")

    stream = make(verdict=broken)
    stream.submit(requests("a"))
    with pytest.raises(ZeroDivisionError, match="broken verifier"):
        stream.next_batch(1, version=0)


def test_a_request_cancelled_by_others_does_not_hang_the_batch(make):
    class Cancelling(FakeEngine):
        async def sample(self, prompt, sampling):
            raise asyncio.CancelledError

    stream = make(Cancelling())
    stream.submit(requests("a"))
    with pytest.raises(EngineError, match="cancelled"):
        stream.next_batch(1, version=0)


def test_a_grader_that_keeps_failing_stops_the_run(make):
    stream = make(verdict=lambda c: Verdict(correct=None, reason="no verdict within 5 s"))
    stream.submit(requests("a", "b", "c"))
    with pytest.raises(GraderError, match=r"failed on 11 of the last 11 .* no verdict within 5 s"):
        stream.next_batch(3, version=0)


def test_closing_aborts_what_runs_and_accounts_for_what_was_never_used(make):
    records = []
    engine = FakeEngine(seconds=lambda s: 60.0 if "/b/" in s.id else 0.0)
    stream = make(engine, records=records)
    stream.submit(requests("a", "b"))
    deadline = time.monotonic() + 5
    while stream.running > 4 and time.monotonic() < deadline:
        time.sleep(0.001)
    stream.close()
    assert Counter(r.fate for r in records) == {Fate.UNUSED: 4, Fate.ABORTED: 4}
    assert sorted(engine.aborted) == ["0/b/0", "0/b/1", "0/b/2", "0/b/3"]


def test_fates_are_told_on_the_calling_thread(loop):
    threads = []
    engine = FakeEngine()

    async def verify(prompt, completion):
        return RIGHT

    stream = Stream(
        engine,
        verify,
        lambda group, verdicts: True,
        loop,
        StreamSettings(group_size=2),
        lambda record: threads.append(threading.current_thread()),
    )
    stream.submit(requests("a"))
    stream.next_batch(1, version=0)
    stream.close()
    assert threads == [threading.current_thread()] * 2


def test_a_prompt_drawn_twice_in_a_step_gets_new_ids_and_other_draws(make):
    stream = make()
    stream.submit(requests("a", "a"))
    first, second = stream.next_batch(2, version=0)
    stream.submit(requests("a"))
    (third,) = stream.next_batch(1, version=0)
    names = [c.id for judged in (first, second, third) for c in judged.group.completions]
    assert names == [f"0/a/{i}" for i in range(12)]
    tokens = [tuple(c.token_ids) for judged in (first, second) for c in judged.group.completions]
    assert tokens[:4] != tokens[4:]


def test_the_same_seed_repeats_a_run_and_another_does_not(make):
    def sampled(seed):
        stream = make(seed=seed)
        stream.submit(requests("a", "b"))
        return [
            tuple(c.token_ids) for j in stream.next_batch(2, version=0) for c in j.group.completions
        ]

    assert sampled(1) == sampled(1)
    assert sampled(1) != sampled(2)


def test_a_completions_seed_depends_on_each_of_its_four_names():
    seeds = {
        completion_seed(*names)
        for names in [
            (1, "p", 2, 3),
            (2, "p", 2, 3),
            (1, "q", 2, 3),
            (1, "p", 3, 3),
            (1, "p", 2, 4),
        ]
    }
    assert len(seeds) == 5
    assert completion_seed(1, "p", 2, 3) == 82228655
    assert all(0 <= seed < 2**31 for seed in seeds)


schedules = st.lists(
    st.tuples(st.integers(0, 4), st.integers(0, 5), st.booleans()), min_size=1, max_size=6
)


@settings(deadline=None, max_examples=40)
@given(
    steps=schedules,
    seed=st.integers(0, 2**31),
    max_staleness=st.integers(0, 2),
    close_early=st.booleans(),
)
def test_any_schedule_accounts_for_every_completion(loop, steps, seed, max_staleness, close_early):
    """Random submissions, batches, versions, delays and grades; every completion has one fate."""
    draw = random.Random(seed)
    engine = FakeEngine(seconds=lambda s: draw.choice([0.0, 0.0, 0.001]))
    records, batches = [], []

    async def verify(prompt, completion):
        await asyncio.sleep(draw.choice([0.0, 0.001]))
        return draw.choices([RIGHT, WRONG, FAILED], [10, 10, 1])[0]

    stream = Stream(
        engine,
        verify,
        lambda group, verdicts: len({v.correct for v in verdicts}) > 1,
        loop,
        StreamSettings(group_size=3, seed=seed, max_staleness=max_staleness),
        records.append,
    )
    num_submitted = 0
    try:
        for step, (num_new, num_taken, publish) in enumerate(steps):
            stream.submit(requests(*"abcd"[:num_new], step=step, limit=5))
            num_submitted += 3 * num_new
            batch = stream.next_batch(num_taken, version=engine.weight_version)
            assert len(batch) <= num_taken
            assert all(j.oldest_version >= engine.weight_version - max_staleness for j in batch)
            assert all(len(j.verdicts) == len(j.group.completions) >= 2 for j in batch)
            batches += batch
            engine.weight_version += publish
        if not close_early:
            batches += stream.next_batch(1000, version=engine.weight_version)
            assert stream.running == 0
    except GraderError:
        assert stream.fates[Fate.GRADER_FAILED] > 10
    finally:
        stream.close()
    assert len(records) == num_submitted == sum(stream.fates.values())
    assert len({record.id for record in records}) == num_submitted
    trained = {c.id for j in batches for c in j.group.completions}
    assert trained == {r.id for r in records if r.fate is Fate.TRAINED}
