import asyncio

import numpy as np
import pytest

from data.types import Prompt, Verdict
from rollout.background import BackgroundLoop
from rollout.engine import EngineError, Sampling
from rollout.replay import Batch, Recording, ReplayEngine, read
from rollout.stream import Request, Stream, StreamSettings
from tests.fakes import FakeEngine

PROMPTS = [
    Prompt(id=name, messages=({"role": "user", "content": name},), token_ids=[1, 2], answer="7")
    for name in "ab"
]


async def verify(prompt, completion):
    return Verdict(correct="7" in completion.text)


def run(engine, steps=2):
    """Two prompts a step, three completions each, on weights that advance by a version a step."""
    loop = BackgroundLoop()
    settings = StreamSettings(group_size=3, seed=0)
    stream = Stream(engine, verify, lambda group, verdicts: True, loop, settings)
    batches = []
    try:
        for step in range(steps):
            engine.weight_version = step
            stream.submit(Request(prompt=p, limit=20, step=step) for p in PROMPTS)
            batches.append(stream.next_batch(2, version=step))
    finally:
        stream.close()
        loop.close()
    return batches


@pytest.fixture
def recording(tmp_path):
    path = tmp_path / "recording"
    batches = run(FakeEngine())
    with Recording(path) as file:
        for step, judged in enumerate(batches):
            file.write(step, judged)
    return path, batches


def same(ours, theirs):
    assert [(c.id, c.text, c.limit, c.finish, c.spans) for c in ours] == [
        (c.id, c.text, c.limit, c.finish, c.spans) for c in theirs
    ]
    for one, other in zip(ours, theirs, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)


def completions(batches):
    return [c for judged in batches for j in judged for c in j.group.completions]


def test_a_recording_reads_back_as_it_was_written(recording):
    path, batches = recording
    again = list(read(path))
    assert [batch.step for batch in again] == [0, 1]
    same(completions(batch.judged for batch in again), completions(batches))
    assert [[j.verdicts for j in batch.judged] for batch in again] == [
        [j.verdicts for j in judged] for judged in batches
    ]
    assert again[0].judged[0].group.prompt.messages == PROMPTS[0].messages


def test_replaying_the_same_requests_gives_the_recorded_run(recording):
    path, batches = recording
    same(completions(run(ReplayEngine(read(path)))), completions(batches))


def test_a_request_beyond_the_recording_is_an_error(recording):
    path, _ = recording
    with pytest.raises(EngineError, match="no further completion of prompt a"):
        run(ReplayEngine(read(path)), steps=3)


def test_another_limit_than_recorded_is_an_error(recording):
    path, _ = recording
    engine = ReplayEngine(read(path))
    with pytest.raises(EngineError, match=r"allows 9 tokens, .* recorded under a limit of 20"):
        asyncio.run(engine.sample(PROMPTS[0], Sampling(id="x", limit=9)))


def test_a_torn_recording_is_named(recording):
    path, _ = recording
    path.write_bytes(path.read_bytes()[:-5])
    batches = read(path)
    assert next(batches).step == 0
    with pytest.raises(ValueError, match="torn"):
        next(batches)


def test_a_recording_is_never_written_over(recording):
    with pytest.raises(FileExistsError):
        Recording(recording[0])


def test_an_empty_recording_has_no_batches(tmp_path):
    (tmp_path / "empty").touch()
    assert list(read(tmp_path / "empty")) == []
    assert Batch(step=0, judged=()).judged == ()
