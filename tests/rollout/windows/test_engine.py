import asyncio
from contextlib import asynccontextmanager

import numpy as np
import pytest

from data.types import Finish, Prompt
from rollout.engine import EngineError, Sampling
from rollout.scheduling.priorities import CONTINUED_BAND
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from tests.fakes import END, FakeEngine, words
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject, closed_engine_refuses

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1], np.int32), answer="7")
LIMIT, LONG = 12, 40


class Rambling(FakeEngine):
    """A policy that stops once prompt and response have more than `LONG` tokens."""

    def __init__(self, **options):
        super().__init__(**options)
        self.asked = []

    async def sample(self, prompt, sampling):
        self.asked.append(sampling)
        return await super().sample(prompt, sampling)

    def _chances(self, prompt, sampling, *, boxed):
        chances = super()._chances(prompt, sampling, boxed=boxed)
        chances[END] = float(len(prompt.token_ids) > LONG)
        return chances / chances.sum()


def windowed(engine=None, window=4):
    pool = WindowPool(window, words)
    return WindowedEngine(engine or Rambling(), pool), pool


@asynccontextmanager
async def sampling(engine, count, **options):
    """Tasks of `count` completions; those that are left over are cancelled."""
    asked = {"limit": LIMIT, "seed": 1, **options}
    tasks = [
        asyncio.create_task(engine.sample(PROMPT, Sampling(id=f"c{index}", **asked)))
        for index in range(count)
    ]
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def settled(engine):
    """Waits until every window has ended."""
    event = asyncio.Event()
    engine.on_settled = event.set
    async with asyncio.timeout(20):
        await event.wait()


def subject(engine, pool):
    """Windows are released as soon as all have ended, so that a completion takes one `sample`."""
    engine.on_settled = engine.release
    prompts = [
        Prompt(id=f"p{index}", messages=(), token_ids=[1, 2], answer="7") for index in range(100)
    ]
    return Subject(engine=engine, run=asyncio.run, prompts=prompts, short_limit=1, long_limit=30)


@pytest.mark.parametrize("clause", [*CONTRACT, closed_engine_refuses])
@pytest.mark.parametrize("window", [1, 7, 100])
def test_windowed_engine_keeps_the_contract(clause, window):
    clause(subject(*windowed(FakeEngine(), window)))


@pytest.mark.parametrize("clause", INTERRUPTIONS)
def test_windowed_engine_can_be_interrupted(clause):
    clause(subject(*windowed(FakeEngine(seconds=lambda sampling: 0.05), 7)))


def test_a_step_ends_when_every_window_has_and_weights_change_in_between():
    engine = Rambling()
    windows, pool = windowed(engine)

    async def three_steps():
        async with sampling(windows, 3) as tasks:
            for version in range(3):
                engine.weight_version = version
                windows.release()
                await settled(windows)
                assert [partial.num_tokens for partial in pool.parked] == (
                    [4 * (version + 1)] * 3 if version < 2 else []
                )
            return await asyncio.gather(*tasks)

    for completion in asyncio.run(three_steps()):
        spans = [(span.start, span.stop, span.weight_version) for span in completion.spans]
        assert spans == [(0, 4, 0), (4, 8, 1), (8, 12, 2)]
        assert completion.finish is Finish.LIMIT and completion.text == words(completion.token_ids)


def test_nothing_goes_on_before_it_is_released():
    engine = Rambling()
    windows, _ = windowed(engine)

    async def wait_for_nothing():
        async with sampling(windows, 2):
            await settled(windows)
            await asyncio.sleep(0.05)
            return [asked.id for asked in engine.asked]

    assert asyncio.run(wait_for_nothing()) == ["c0/w0", "c1/w0"]


def test_continuations_are_asked_for_before_fresh_prompts():
    engine = Rambling()
    windows, _ = windowed(engine)

    async def two_steps():
        async with sampling(windows, 1, priority=0):
            await settled(windows)
            windows.release()
            fresh = Sampling(id="fresh", limit=LIMIT, priority=0)
            task = asyncio.create_task(windows.sample(PROMPT, fresh))
            await settled(windows)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)

    asyncio.run(two_steps())
    assert [asked.id for asked in engine.asked] == ["c0/w0", "c0/w1", "fresh/w0"]
    assert [asked.priority for asked in engine.asked] == [0, -CONTINUED_BAND, 0]


def test_a_cut_step_parks_the_rest_and_the_next_one_resumes_it():
    """One request is fast, two are slow: after the first completion the others are cut."""
    engine = Rambling(seconds=lambda s: 0.0 if s.id.startswith("c0") else 0.2)
    windows, pool = windowed(engine, window=LIMIT)

    async def one_of_three():
        async with sampling(windows, 3) as tasks:
            first = await tasks[0]
            await asyncio.sleep(0.1)
            await asyncio.gather(settled(windows), windows.cut())
            so_far = {p.sampling.id: p.begun.token_ids.tolist() for p in pool.parked}
            windows.release()
            return first, so_far, await asyncio.gather(*tasks[1:])

    first, so_far, rest = asyncio.run(one_of_three())
    assert first.num_tokens == LIMIT
    for completion in rest:
        begun = so_far[completion.id]
        assert 0 < len(begun) < LIMIT == completion.num_tokens
        assert completion.token_ids.tolist()[: len(begun)] == begun


def test_an_aborted_parked_completion_returns_what_it_has():
    windows, pool = windowed()

    async def give_one_up():
        async with sampling(windows, 2) as tasks:
            await settled(windows)
            await windows.abort("c1")
            completion = await tasks[1]
            return completion, [partial.sampling.id for partial in pool.parked]

    completion, parked = asyncio.run(give_one_up())
    assert completion.finish is Finish.ABORTED and completion.num_tokens == 4
    assert parked == ["c0"]


def test_a_completion_that_is_aborted_and_released_in_the_same_turn_ends():
    windows, pool = windowed()

    async def abort_and_release():
        async with sampling(windows, 2) as tasks:
            await settled(windows)
            await windows.abort("c1")
            windows.release()
            completion = await tasks[1]
            return completion, pool.running("c1")

    completion, running = asyncio.run(abort_and_release())
    assert completion.finish is Finish.ABORTED and running is None


def test_a_cancelled_completion_leaves_the_pool_and_settles_it():
    windows, pool = windowed(Rambling(seconds=lambda s: 60.0))

    async def cancel():
        async with sampling(windows, 1) as (task,):
            await asyncio.sleep(0)
            task.cancel()
            await settled(windows)

    asyncio.run(cancel())
    assert pool.settled and pool.free_slots(1) == 1


def test_release_passes_over_a_completion_that_was_cancelled_in_the_same_turn():
    windows, pool = windowed()

    async def cancel_and_release():
        async with sampling(windows, 2) as tasks:
            await settled(windows)
            tasks[0].cancel()
            windows.release()
            await settled(windows)
            return [partial.sampling.id for partial in pool.parked]

    assert asyncio.run(cancel_and_release()) == ["c1"]


def test_a_failed_window_fails_its_completion_alone():
    windows, _ = windowed(Rambling(fails=lambda s: s.id == "c0/w1"))

    async def two_steps():
        async with sampling(windows, 2) as tasks:
            for _ in range(2):
                await settled(windows)
                windows.release()
            return await asyncio.gather(*tasks, return_exceptions=True)

    failed, whole = asyncio.run(two_steps())
    assert isinstance(failed, EngineError) and whole.num_tokens == LIMIT


def test_closing_ends_what_is_parked_with_an_error():
    windows, _ = windowed()

    async def close_between_steps():
        async with sampling(windows, 1) as (task,):
            await settled(windows)
            await windows.close()
            await task

    with pytest.raises(EngineError, match="is closed"):
        asyncio.run(close_between_steps())


def test_a_resumed_run_goes_on_as_the_one_that_was_not_stopped():
    """Saved after the first step, with all that is parked."""

    async def first_step(windows, pool):
        async with sampling(windows, 2):
            await settled(windows)
            return pool.state()

    async def to_the_end(windows):
        windows.on_settled = windows.release
        async with sampling(windows, 2) as tasks:
            return await asyncio.gather(*tasks)

    expected = asyncio.run(to_the_end(windowed()[0]))
    state = asyncio.run(first_step(*windowed()))
    resumed, restored = windowed()
    restored.load(state)
    for one, other in zip(expected, asyncio.run(to_the_end(resumed)), strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
        assert one.spans == other.spans
