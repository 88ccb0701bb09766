import json

import numpy as np
import pytest

from data.types import Prompt, Verdict
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.samplings import Request, StreamSettings
from rollout.stream import Stream
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from tests.fakes import FakeEngine, words

WINDOW, LIMIT, PER_UPDATE, STEPS = 4, 30, 2, 8


@pytest.fixture
def loop():
    background = BackgroundLoop()
    yield background
    background.close()


class Steps:
    """A synchronous run of a windowed stream, one group of four per prompt."""

    def __init__(self, loop):
        self.engine = FakeEngine()
        self.pool = WindowPool(WINDOW, words)
        self.windows = WindowedEngine(self.engine, self.pool)
        self.records = []
        settings = StreamSettings(
            group_size=4,
            seed=1,
            groups_per_update=PER_UPDATE,
            max_staleness=99,
            groups_ahead=PER_UPDATE,
        )
        self.stream = Stream(
            self.engine,
            self.verify,
            lambda group, verdicts: True,
            loop,
            settings,
            self.records.append,
            windows=self.windows,
        )
        self.drawn = 0

    async def verify(self, prompt, completion):
        return Verdict(correct=True)

    def step(self, index):
        self.engine.weight_version = index
        count = self.stream.room(STEPS)
        fresh = [
            Prompt(id=f"p{self.drawn + n}", messages=(), token_ids=np.array([1]), answer="7")
            for n in range(count)
        ]
        self.drawn += count
        self.stream.submit(Request(prompt=p, limit=LIMIT, step=index) for p in fresh)
        batch = self.stream.next_batch(PER_UPDATE, version=index)
        self.stream.end_step()
        assert self.pool.settled
        return batch


def told(batches):
    return [
        [
            (c.id, c.token_ids.tolist(), c.logprobs.tolist(), c.spans)
            for c in judged.group.completions
        ]
        for batch in batches
        for judged in batch
    ]


def test_steps_take_whole_groups_and_leave_the_rest_parked(loop):
    run = Steps(loop)
    batches = [run.step(index) for index in range(STEPS)]
    assert all(len(batch) == PER_UPDATE for batch in batches)
    completions = [c for batch in batches for judged in batch for c in judged.group.completions]
    versions = {c.weight_versions for c in completions}
    assert any(old < new for old, new in versions), versions
    for c in completions:
        assert all(s.stop - s.start <= WINDOW for s in c.spans)
    run.stream.close()
    assert sum(run.stream.fates.values()) == 4 * run.drawn
    assert run.stream.fates[Fate.TRAINED] == 4 * PER_UPDATE * STEPS


def test_a_resumed_run_takes_the_batches_of_the_one_that_was_not_stopped(loop):
    whole = Steps(loop)
    expected = [whole.step(index) for index in range(STEPS)]
    whole.stream.close()
    first = Steps(loop)
    begun = [first.step(index) for index in range(3)]
    state = json.loads(json.dumps(first.stream.state()))
    drawn = first.drawn
    first.stream.close()
    again = Steps(loop)
    again.drawn = drawn
    again.engine.weight_version = 3
    again.stream.load(state)
    rest = [again.step(index) for index in range(3, STEPS)]
    again.stream.close()
    assert told(begun + rest) == told(expected)
