"""Windows, interruptions and priorities on the real vLLM."""

import asyncio
import itertools

import numpy as np
import pytest

from data.types import Finish
from rollout.engine import Sampling
from rollout.windows.engine import WindowedEngine
from rollout.windows.pool import WindowPool
from tests.rollout.vllm.reference import moved, reference_log_probs

pytestmark = pytest.mark.engine

NUM_RUNNING = 64
"""Sequences that the shared engine decodes at once."""


def test_windows_continue_under_new_weights_with_exact_log_probs(lab_weights):
    """Two steps of 24 completions; the weights change between the windows."""
    engine, folder = lab_weights.engine, lab_weights.folder
    windows = WindowedEngine(engine, WindowPool(16, decoder(folder)))
    prompts = list(itertools.islice(itertools.cycle(lab_weights.prompts), 24))
    old, old_model, model = engine.weight_version, lab_weights.model(), moved(lab_weights.model())
    settled = asyncio.Event()
    windows.on_settled = settled.set

    async def first_step():
        tasks = [
            asyncio.create_task(windows.sample(prompt, Sampling(id=f"w{n}", limit=60, seed=n)))
            for n, prompt in enumerate(prompts)
        ]
        await settled.wait()
        return tasks

    async def later_steps(tasks):
        windows.on_settled = windows.release
        windows.release()
        return list(await asyncio.gather(*tasks))

    tasks = lab_weights.loop.run(first_step())
    new = lab_weights.publish(list(model.named_parameters()))
    completions = lab_weights.loop.run(later_steps(tasks))
    assert (old, new) in {completion.weight_versions for completion in completions}
    pairs = list(zip(prompts, completions, strict=True))
    expected = {
        old: reference_log_probs(old_model, pairs, 1.0, 1.0),
        new: reference_log_probs(model, pairs, 1.0, 1.0),
    }
    for index, completion in enumerate(completions):
        assert len(completion.token_ids) == completion.num_tokens <= 60
        for span in completion.spans:
            assert span.stop - span.start <= 16
            wanted = expected[span.weight_version][index][span.start : span.stop]
            got = completion.logprobs[span.start : span.stop]
            np.testing.assert_allclose(got, wanted, atol=1e-3)


def test_completions_that_are_cut_go_on_from_their_last_token(lab_engine):
    """The first completion to end shows that the others are under way."""
    engine, hot, count = lab_engine.engine, 2.0, 24
    windows = WindowedEngine(engine, pool := WindowPool(400, decoder(lab_engine.folder)))
    prompts = list(itertools.islice(itertools.cycle(lab_engine.prompts), count))

    async def cut_and_resume():
        options = {"limit": 400, "temperature": hot}
        tasks = [
            asyncio.create_task(windows.sample(prompt, Sampling(id=f"cut-{n}", seed=n, **options)))
            for n, prompt in enumerate(prompts)
        ]
        await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
        await windows.cut()
        parked = [partial.begun for partial in pool.parked]
        windows.release()
        return parked, list(await asyncio.gather(*tasks))

    parked, completions = lab_engine.loop.run(cut_and_resume())
    whole = {completion.id: completion for completion in completions}
    assert any(len(begun.token_ids) for begun in parked)
    for begun in parked:
        so_far = whole[begun.id].token_ids[: len(begun.token_ids)]
        np.testing.assert_array_equal(so_far, begun.token_ids)
    pairs = list(zip(prompts, completions, strict=True))
    expected = reference_log_probs(lab_engine.model(), pairs, hot, 1.0)
    for wanted, completion in zip(expected, completions, strict=True):
        np.testing.assert_allclose(completion.logprobs, wanted, atol=1e-3)


def test_uncut_and_windowed_greedy_completions_are_the_same(lab_engine):
    windows = WindowedEngine(lab_engine.engine, WindowPool(8, decoder(lab_engine.folder)))
    windows.on_settled = windows.release
    whole = lab_engine.sample(8, 100, temperature=0.0)

    async def again():
        samplings = [Sampling(id=f"greedy-{n}", limit=100, temperature=0.0) for n in range(8)]
        pairs = zip((prompt for prompt, _ in whole), samplings, strict=True)
        return list(await asyncio.gather(*(windows.sample(p, s) for p, s in pairs)))

    for (_, one), other in zip(whole, lab_engine.loop.run(again()), strict=True):
        np.testing.assert_array_equal(other.token_ids, one.token_ids)
        assert (other.text, other.finish) == (one.text, one.finish)


def test_request_that_is_aborted_before_its_turn_has_no_tokens(lab_engine):
    engine = lab_engine.engine

    async def abort_while_paused():
        await engine.llm.pause_generation(mode="keep", clear_cache=False)
        task = asyncio.create_task(
            engine.sample(lab_engine.prompts[0], Sampling(id="no-turn", limit=50))
        )
        await asyncio.sleep(0)
        await engine.abort("no-turn")
        await engine.llm.resume_generation()
        return await task

    completion = lab_engine.loop.run(abort_while_paused())
    assert completion.finish is Finish.ABORTED and completion.num_tokens == 0
    assert len(lab_engine.sample(4, 4)) == 4


def test_requests_of_lower_priority_numbers_run_first(lab_engine):
    """The last to be submitted has the lowest number; each takes one turn of one token."""
    engine, count = lab_engine.engine, 3 * NUM_RUNNING
    ended = []

    async def sample(priority):
        sampling = Sampling(id=f"ranked-{priority}", limit=1, priority=priority)
        await engine.sample(lab_engine.prompts[0], sampling)
        ended.append(priority)

    async def all_waiting_at_once():
        await engine.llm.pause_generation(mode="keep", clear_cache=False)
        tasks = [asyncio.create_task(sample(count - 1 - n)) for n in range(count)]
        while engine.llm.output_processor.get_num_unfinished_requests() < count:
            await asyncio.sleep(0.01)
        await engine.llm.resume_generation()
        await asyncio.gather(*tasks)

    lab_engine.loop.run(all_waiting_at_once())
    displaced = [abs(place - priority) for place, priority in enumerate(ended)]
    assert len(ended) == count and max(displaced) < NUM_RUNNING


def decoder(folder):
    """Response tokens to text, as vLLM decodes them."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(folder)
    return lambda token_ids: tokenizer.decode(
        token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
