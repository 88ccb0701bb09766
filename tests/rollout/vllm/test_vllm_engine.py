import asyncio
import dataclasses
import itertools
import time

import numpy as np
import pytest
import torch

from data.types import Completion, Prompt
from rollout.continuation import extended
from rollout.engine import EngineError, Sampling
from tests.rollout.engine_contract import CONTRACT, Subject
from tests.rollout.vllm.reference import log_prob_gap, reference_log_probs

pytestmark = pytest.mark.engine


@pytest.mark.parametrize("clause", CONTRACT)
def test_vllm_keeps_the_engine_contract(lab_engine, clause):
    clause(
        Subject(
            engine=lab_engine.engine,
            run=lab_engine.loop.run,
            prompts=lab_engine.prompts,
            short_limit=4,
            long_limit=400,
        )
    )


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.95)])
def test_log_probs_are_those_of_the_distribution_sampled_from(lab_engine, temperature, top_p):
    answered = lab_engine.sample(96, 64, temperature=temperature, top_p=top_p)
    gap, num_tokens = log_prob_gap(lab_engine.model(), answered, temperature, top_p)
    assert num_tokens >= 2000 and gap <= 1e-3


def test_engine_names_itself_and_its_version(lab_engine):
    assert lab_engine.engine.name == "vllm 0.32.0"


def test_text_leaves_special_tokens_out_and_keeps_the_box(lab_engine):
    texts = [completion.text for _, completion in lab_engine.sample(32, 400)]
    assert not any("<|" in text for text in texts)
    assert sum("\\boxed{" in text for text in texts) > 16


def test_request_that_does_not_fit_is_refused_with_what_to_set(lab_engine):
    with pytest.raises(EngineError, match=r"do not fit into 640; raise rollout.max_prompt_tokens"):
        lab_engine.sample(1, 639)


def test_seeded_prompts_beyond_one_batch_of_tokens_are_served(lab_engine):
    prompt = Prompt(id="long", messages=(), token_ids=np.full(300, 40), answer="")

    async def together() -> list[Completion]:
        samplings = [Sampling(id=f"long-{seed}", limit=2, seed=seed) for seed in range(40)]
        return list(await asyncio.gather(*(lab_engine.engine.sample(prompt, s) for s in samplings)))

    assert len(lab_engine.loop.run(together())) == 40


def test_temperature_that_vllm_refuses_is_an_engine_error(lab_engine):
    with pytest.raises(EngineError, match=r"temperature must be in \[0, 2\]"):
        lab_engine.sample(1, 4, temperature=3.0)


def test_cancelled_request_leaves_the_engine(lab_engine):
    engine, loop = lab_engine.engine, lab_engine.loop
    loop.run(engine.llm.pause_generation(mode="keep", clear_cache=False))
    future = loop.submit(engine.sample(lab_engine.prompts[0], Sampling(id="gone", limit=500)))
    wait_for(lambda: engine.llm.get_num_unfinished_requests() == 1)
    future.cancel()
    wait_for(lambda: engine.llm.get_num_unfinished_requests() == 0)
    loop.run(engine.llm.resume_generation())
    assert len(lab_engine.sample(4, 4)) == 4


COUNT, HOT = 48, 2.0


def published_in_flight(lab_weights, name):
    """Answers under way while the weights change, and what old and new weights say about them.

    The first completion to end shows that the others are under way.
    """
    engine, loop = lab_weights.engine, lab_weights.loop
    old, models = engine.weight_version, [lab_weights.model(), lab_weights.model()]
    with torch.no_grad():
        for parameter in models[1].parameters():
            parameter.mul_(1.05)
    prompts = list(itertools.islice(itertools.cycle(lab_weights.prompts), COUNT))
    samplings = [
        Sampling(id=f"{name}-{i}", limit=500, temperature=HOT, seed=i) for i in range(COUNT)
    ]

    async def together() -> list[Completion]:
        pairs = zip(prompts, samplings, strict=True)
        return list(await asyncio.gather(*(engine.sample(p, s) for p, s in pairs)))

    future = loop.submit(together())
    wait_for(lambda: engine.llm.get_num_unfinished_requests() == COUNT)
    wait_for(lambda: engine.llm.get_num_unfinished_requests() < COUNT)
    new = lab_weights.publish(list(models[1].named_parameters()))
    completions = future.result()
    assert (old, new) in {completion.weight_versions for completion in completions}
    pairs = list(zip(prompts, completions, strict=True))
    expected = {
        version: reference_log_probs(model, pairs, HOT, 1.0)
        for version, model in zip((old, new), models, strict=True)
    }
    return pairs, expected, models[1]


def gaps(pairs, expected, version):
    """Largest difference of the engine's log-probs to the reference, per span of `version`."""
    return [
        np.abs(completion.logprobs - expected[version][index].numpy())[span.start : span.stop].max()
        for index, (_, completion) in enumerate(pairs)
        for span in completion.spans
        if span.weight_version == version
    ]


def test_requests_in_flight_go_on_with_new_weights_and_say_so(lab_weights):
    pairs, expected, _ = published_in_flight(lab_weights, "flight")
    for version in expected:
        assert max(gaps(pairs, expected, version)) < 1e-3
    assert all(c.num_tokens == len(c.token_ids) for _, c in pairs)


def test_the_cache_of_old_weights_is_kept_for_answers_in_flight_and_for_no_others(
    lab_weights, monkeypatch
):
    monkeypatch.setattr(lab_weights.engine, "keeps_cache", True)
    pairs, expected, model = published_in_flight(lab_weights, "kept")
    old, new = expected
    assert max(gaps(pairs, expected, old)) < 1e-3
    assert max(gaps(pairs, expected, new)) > 1e-3
    repeated = [extended(p, c.token_ids[:96]) for p, c in pairs if len(c.token_ids) > 96]
    assert len(repeated) >= 4
    again = dataclasses.replace(lab_weights, prompts=repeated)
    assert log_prob_gap(model, again.sample(len(repeated), 16))[0] < 1e-3


def wait_for(condition, seconds=60.0):
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end, "timed out"
        time.sleep(0.01)
