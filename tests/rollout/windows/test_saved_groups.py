import asyncio
import json

import numpy as np

from data.types import Prompt, Verdict
from data.wire import encode
from rollout.engine import Sampling
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from rollout.windows.saved_groups import SavedGroup, groups_state, saved_groups
from tests.fakes import FakeEngine, words

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1], np.int32), answer="7")
SAMPLINGS = [Sampling(id=f"0/p/{slot}", limit=30, seed=slot) for slot in range(8)]


def restored(state):
    return json.loads(json.dumps(state))


async def one_window_each():
    """Eight completions of one group, stopped when every window of five tokens has ended."""
    windows, pool = windowed()
    settled = asyncio.Event()
    windows.on_settled = settled.set
    tasks = [asyncio.create_task(windows.sample(PROMPT, sampling)) for sampling in SAMPLINGS]
    await settled.wait()
    await asyncio.sleep(0)
    judged = {
        slot: (task.result(), Verdict(correct=True))
        for slot, task in enumerate(tasks)
        if task.done()
    }
    missing = {slot: SAMPLINGS[slot] for slot, task in enumerate(tasks) if not task.done()}
    group = SavedGroup(prompt=PROMPT, step=0, deadline=2, judged=judged, missing=missing)
    saved = {"pool": pool.state(), **groups_state([group])}
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    return group, restored(saved)


async def to_the_end(windows, samplings):
    windows.on_settled = windows.release
    return await asyncio.gather(*(windows.sample(PROMPT, sampling) for sampling in samplings))


def windowed():
    pool = WindowPool(5, words)
    return WindowedEngine(FakeEngine(), pool), pool


def test_saved_groups_come_back_as_they_were():
    group, state = asyncio.run(one_window_each())
    (again,) = saved_groups(state)
    assert encode(again) == encode(group)
    assert again.judged.keys() | again.missing.keys() == set(range(8))


def test_a_resumed_group_has_the_completions_of_the_run_that_was_not_stopped():
    expected = asyncio.run(to_the_end(windowed()[0], SAMPLINGS))
    _, state = asyncio.run(one_window_each())
    (group,) = saved_groups(state)
    windows, pool = windowed()
    pool.load(state["pool"])
    assert group.judged and group.missing
    rest = asyncio.run(to_the_end(windows, group.missing.values()))
    found = {slot: completion for slot, (completion, _) in group.judged.items()}
    found |= dict(zip(group.missing, rest, strict=True))
    for slot, completion in enumerate(expected):
        np.testing.assert_array_equal(found[slot].token_ids, completion.token_ids)
        np.testing.assert_array_equal(found[slot].logprobs, completion.logprobs)
        assert found[slot].spans == completion.spans
