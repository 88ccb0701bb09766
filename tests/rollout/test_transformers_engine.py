import asyncio
import itertools
import threading

import numpy as np
import pytest
import torch

from data.types import Completion, Finish, Prompt
from rollout.background import BackgroundLoop
from rollout.config import TransformersConfig
from rollout.engine import EngineError, Sampling
from rollout.fingerprint import fingerprint, stale_parameters
from rollout.transformers_start import start_engine
from tests.engine_fixtures import LAB, LabEngine, lab_prompts, tied_copy
from tests.rollout.engine_contract import CONTRACT, INTERRUPTIONS, Subject, closed_engine_refuses
from tests.rollout.vllm.reference import log_prob_gap, moved, reference_log_probs

pytestmark = pytest.mark.engine

GAP = 1e-4


def started(loop, folder=LAB / "short", **options):
    engine = start_engine(
        TransformersConfig(**{"max_num_seqs": 64, **options}),
        loop=loop,
        model_path=str(folder),
        dtype="float32",
        max_model_tokens=640,
    )
    return LabEngine(
        engine=engine,
        loop=loop,
        transfer=engine.start_transfer(64),
        folder=folder,
        prompts=lab_prompts(folder, 32),
    )


@pytest.fixture(scope="module")
def loop():
    loop = BackgroundLoop()
    yield loop
    loop.close()


@pytest.fixture(scope="module")
def untied(loop):
    running = started(loop)
    yield running
    running.engine.shutdown()


@pytest.fixture(scope="module")
def tied(loop, tmp_path_factory):
    running = started(loop, tied_copy(LAB / "short", tmp_path_factory.mktemp("tied") / "model"))
    yield running
    running.engine.shutdown()


@pytest.fixture(params=["untied", "tied"])
def running(request):
    """Both models, each put back to its own weights afterwards."""
    running = request.getfixturevalue(request.param)
    yield running
    running.publish(list(running.model().named_parameters()))


def subject(running):
    return Subject(
        engine=running.engine,
        run=running.loop.run,
        prompts=running.prompts,
        short_limit=4,
        long_limit=400,
    )


@pytest.mark.parametrize("clause", [*CONTRACT, *INTERRUPTIONS])
def test_transformers_keeps_the_engine_contract(untied, clause):
    clause(subject(untied))


def test_closed_engine_refuses(loop):
    closed_engine_refuses(subject(started(loop)))


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.95)])
def test_log_probs_are_those_of_the_distribution_sampled_from(untied, temperature, top_p):
    """More requests than rows: they join while others run, and rows move between slots."""
    answered = untied.sample(160, 96, temperature=temperature, top_p=top_p)
    gap, num_tokens = log_prob_gap(untied.model(), answered, temperature, top_p)
    assert num_tokens >= 2000 and gap <= GAP


def test_seeded_completion_does_not_depend_on_its_neighbours(untied):
    together = untied.sample(96, 64)
    for index in (0, 17, 95):
        prompt, completion = together[index]
        sampling = Sampling(id=f"alone-{index}", limit=64, seed=index)
        alone = untied.loop.run(untied.engine.sample(prompt, sampling))
        np.testing.assert_array_equal(alone.token_ids, completion.token_ids)
        np.testing.assert_allclose(alone.logprobs, completion.logprobs, atol=GAP)


def test_engine_names_itself_and_its_version(untied):
    assert untied.engine.name == "transformers 5.19.0"


def test_text_leaves_special_tokens_out_and_keeps_the_box(untied):
    texts = [completion.text for _, completion in untied.sample(32, 400)]
    assert not any("<|" in text for text in texts)
    assert sum("\\boxed{" in text for text in texts) > 16


def test_request_that_does_not_fit_is_refused_with_what_to_set(untied):
    with pytest.raises(EngineError, match=r"do not fit into 640; raise rollout.max_prompt_tokens"):
        untied.sample(1, 639)


def test_published_weights_are_those_that_sample(running):
    model = moved(running.model())
    before = log_prob_gap(model, running.sample(8, 16))[0]
    running.publish(list(model.named_parameters()))
    assert log_prob_gap(model, running.sample(32, 64))[0] <= GAP < before
    wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
    assert stale_parameters(running.engine.fingerprints(), wanted, 1e-4) == []


def test_parameter_that_was_never_sent_is_named(running):
    model = moved(running.model())
    missing = "model.layers.1.self_attn.o_proj.weight"
    running.publish([(n, p) for n, p in model.named_parameters() if n != missing])
    wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
    assert stale_parameters(running.engine.fingerprints(), wanted, 1e-4) == [missing]


def test_a_part_that_is_sent_leaves_the_rest_as_it_was(untied):
    model = moved(untied.model())
    untied.publish(list(model.named_parameters()))
    assert untied.transfer.start()
    untied.transfer.send([("model.norm.weight", torch.full((128,), 2.0))])
    untied.transfer.finish(9)
    model.model.norm.weight.data.fill_(2.0)
    wanted = {name: fingerprint(name, value) for name, value in model.named_parameters()}
    assert stale_parameters(untied.engine.fingerprints(), wanted, 1e-4) == []
    assert not untied.engine.start_transfer(64).start()
    untied.engine.resume(9)
    untied.publish(list(untied.model().named_parameters()))


def test_weights_of_another_model_are_refused_by_name(loop):
    running = started(loop)
    running.transfer.start()
    for name in ("model.norm.weight", "model.extra.weight"):
        with pytest.raises(EngineError, match=f"weight transfer of {name}"):
            running.transfer.send([(name, torch.zeros(3))])
    running.engine.shutdown()


def test_requests_in_flight_go_on_with_new_weights_and_say_so(untied):
    """The first completion to end shows that the others are under way."""
    engine, loop, hot, count = untied.engine, untied.loop, 2.0, 48
    old, old_model, model = engine.weight_version, untied.model(), moved(untied.model())
    prompts = list(itertools.islice(itertools.cycle(untied.prompts), count))
    one_ended = threading.Event()

    async def sample(prompt: Prompt, index: int) -> Completion:
        sampling = Sampling(id=f"flight-{index}", limit=500, temperature=hot, seed=index)
        completion = await engine.sample(prompt, sampling)
        one_ended.set()
        return completion

    async def together() -> list[Completion]:
        return list(await asyncio.gather(*(sample(p, i) for i, p in enumerate(prompts))))

    future = loop.submit(together())
    assert one_ended.wait(60)
    new = untied.publish(list(model.named_parameters()))
    completions = future.result()
    untied.publish(list(old_model.named_parameters()))
    assert (old, new) in {completion.weight_versions for completion in completions}
    pairs = list(zip(prompts, completions, strict=True))
    expected = {
        old: reference_log_probs(old_model, pairs, hot, 1.0),
        new: reference_log_probs(model, pairs, hot, 1.0),
    }
    for index, completion in enumerate(completions):
        assert completion.num_tokens == len(completion.token_ids)
        for span in completion.spans:
            wanted = expected[span.weight_version][index][span.start : span.stop]
            got = completion.logprobs[span.start : span.stop]
            np.testing.assert_allclose(got, wanted, atol=GAP)


def test_close_ends_what_runs_with_an_error(loop):
    running = started(loop)

    async def close_in_mid_rollout() -> list[Completion | BaseException]:
        tasks = [
            asyncio.create_task(
                running.engine.sample(running.prompts[0], Sampling(id=str(n), limit=500, seed=n))
            )
            for n in range(4)
        ]
        await asyncio.sleep(0.05)
        await running.engine.close()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    outcomes = loop.run(close_in_mid_rollout())
    assert outcomes and all(
        isinstance(outcome, EngineError) or outcome.finish is Finish.STOP for outcome in outcomes
    )
    assert any(isinstance(outcome, EngineError) for outcome in outcomes)


def test_failure_of_the_model_reaches_every_request(loop):
    running = started(loop)
    nowhere = Prompt(id="nowhere", messages=(), token_ids=np.array([10_000]), answer="")

    async def together() -> list[Completion | BaseException]:
        prompts = [nowhere, *running.prompts[:3]]
        samplings = [Sampling(id=f"fails-{n}", limit=8) for n in range(4)]
        pairs = zip(prompts, samplings, strict=True)
        requests = (running.engine.sample(p, s) for p, s in pairs)
        return list(await asyncio.gather(*requests, return_exceptions=True))

    assert all(isinstance(outcome, EngineError) for outcome in loop.run(together()))
    with pytest.raises(EngineError, match="IndexError"):
        running.sample(1, 4)
    running.engine.shutdown()
