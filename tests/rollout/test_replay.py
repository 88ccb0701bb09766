import asyncio
import dataclasses

import numpy as np
import pytest

from data.types import Prompt, Verdict
from data.wire import encode
from rollout.background import BackgroundLoop
from rollout.engine import EngineError, Sampling
from rollout.replay import (
    Batch,
    Header,
    Recording,
    ReferenceEngine,
    ReplayEngine,
    read,
    read_settings,
)
from rollout.samplings import Request, StreamSettings
from rollout.stream import Stream
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


def test_a_recording_without_batches_says_how_it_was_made(tmp_path):
    Recording(tmp_path / "new", {"model.path": "lab:short", "rollout.top_p": 0.9}).close()
    assert list(read(tmp_path / "new")) == []
    assert read_settings(tmp_path / "new") == {"model.path": "lab:short", "rollout.top_p": 0.9}
    assert Batch(step=0, judged=()).judged == ()


@pytest.mark.parametrize("content", [b"", encode(Header(format=2, settings={})), b"not at all"])
def test_a_file_that_is_no_recording_is_refused_by_name(tmp_path, content):
    path = tmp_path / "other"
    path.write_bytes(len(content).to_bytes(4, "little") + content if content else b"")
    with pytest.raises(ValueError, match=rf"{path}.*record it again"):
        read_settings(path)


def served(engine, *requests):
    """The ids of the recorded completions, told by their log-probs, and the verdicts."""

    async def ask(name, prompt):
        completion = await engine.sample(prompt, Sampling(id=name, limit=20))
        assert completion.id == name
        return completion.logprobs.tolist(), await engine.verify(prompt, completion)

    return [asyncio.run(ask(*request)) for request in requests]


def test_references_are_served_in_turn_over_and_over_with_their_verdicts(recording):
    (first, second), _ = recording[1]
    engine = ReferenceEngine([first, second])
    requests = [(f"{visit}/{n}", PROMPTS[0]) for visit in range(3) for n in range(3)]
    found = served(engine, *requests)
    expected = [
        (completion.logprobs.tolist(), verdict)
        for completion, verdict in zip(first.group.completions, first.verdicts, strict=True)
    ]
    assert found == expected * 3
    assert served(engine, ("other", PROMPTS[1]))[0][1] == second.verdicts[0]


def test_references_come_out_of_the_stream_in_the_order_in_which_they_were_recorded(recording):
    """However old they are: a resumed run begins each visit with the first one, too."""
    (first, second), _ = recording[1]
    loop = BackgroundLoop()
    engine = ReferenceEngine([first, second])
    settings = StreamSettings(group_size=3, max_staleness=9)
    stream = Stream(engine, engine.verify, lambda group, verdicts: True, loop, settings)
    for step in (7, 8):
        stream.submit(Request(prompt=p, limit=20, step=step) for p in reversed(PROMPTS))
        found = stream.next_batch(2, version=step)
        assert [judged.verdicts for judged in found] == [second.verdicts, first.verdicts]
        same(
            [dataclasses.replace(c, id="") for j in found for c in j.group.completions],
            [dataclasses.replace(c, id="") for j in (second, first) for c in j.group.completions],
        )
    stream.close()
    loop.close()


def test_a_reference_of_another_prompt_or_limit_is_an_error(recording):
    engine = ReferenceEngine(recording[1][0][:1])
    with pytest.raises(EngineError, match="holds no answer of prompt b"):
        served(engine, ("x", PROMPTS[1]))
    with pytest.raises(EngineError, match=r"allows 9 tokens, .* recorded under a limit of 20"):
        asyncio.run(engine.sample(PROMPTS[0], Sampling(id="x", limit=9)))
    asyncio.run(engine.close())
    with pytest.raises(EngineError, match="closed"):
        served(engine, ("x", PROMPTS[0]))
