"""The batch on a tiny random model, held against one forward pass per token and row."""

import numpy as np
import pytest
import torch
from transformers import Qwen2Config, Qwen2ForCausalLM

from data.types import Finish, Prompt
from rollout import transformers_batch
from rollout.engine import Sampling
from rollout.transformers_batch import Batch
from rollout.transformers_draw import draw
from rollout.transformers_rows import Job

END = 1
MAX_TOKENS = 60


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    config = Qwen2Config(
        vocab_size=12,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        initializer_range=0.5,
    )
    return Qwen2ForCausalLM(config).eval().requires_grad_(False)


@pytest.fixture(autouse=True)
def tables_that_grow_often(monkeypatch):
    monkeypatch.setattr(transformers_batch, "SPARE_COLUMNS", 3)
    monkeypatch.setattr(transformers_batch, "PREFILL_TOKENS", 20)


def batch(model, max_num_seqs=8):
    return Batch(
        model,
        end_ids=[END],
        max_num_seqs=max_num_seqs,
        max_model_tokens=MAX_TOKENS,
        seed=0,
        weight_version=0,
    )


def jobs(count, **options):
    """Prompts of 1 to 9 tokens, some alike; limits of 1 to 40."""
    rng = np.random.default_rng(0)
    prompts = [rng.integers(2, 12, size=1 + index % 9) for index in range(count)]
    prompts[count // 2 :] = prompts[: count - count // 2]
    return [
        Job(
            prompt=Prompt(id=str(index), messages=(), token_ids=prompt, answer=""),
            sampling=Sampling(
                **{"id": str(index), "limit": 1 + 7 * index % 40, "seed": index, **options}
            ),
        )
        for index, prompt in enumerate(prompts)
    ]


def run(batch, waiting):
    """All jobs to their end, joining as there is room, at most three in one step."""
    waiting, ended = list(waiting), {}
    while waiting or batch.jobs:
        arrivals = [waiting.pop(0) for _ in range(min(3, batch.room, len(waiting)))]
        ended |= {one.job.sampling.id: one for one in batch.advance(arrivals)}
    return ended


@torch.inference_mode()
def slowly(model, job):
    """The same completion without batch, cache or padding."""
    sampling = job.sampling
    generator = torch.Generator().manual_seed(sampling.seed)
    uniforms = torch.rand(sampling.limit, generator=generator, dtype=torch.float64)
    row, logprobs = job.prompt.token_ids.tolist(), []
    for uniform in uniforms:
        token, logprob = draw(
            model(torch.tensor([row])).logits[:, -1],
            torch.tensor([sampling.temperature]),
            torch.tensor([sampling.top_p]),
            uniform[None],
        )
        row.append(int(token))
        logprobs.append(float(logprob))
        if row[-1] == END:
            break
    return row[len(job.prompt.token_ids) :], logprobs


@pytest.mark.parametrize("options", [{}, {"temperature": 0.7, "top_p": 0.8}, {"temperature": 0.0}])
def test_rows_that_come_and_go_are_those_of_a_model_run_alone(model, options):
    requests = jobs(24, **options)
    ended = run(batch(model), requests)
    assert len(ended) == 24
    for job in requests:
        tokens, logprobs = slowly(model, job)
        found = ended[job.sampling.id]
        assert found.token_ids.tolist() == tokens
        np.testing.assert_allclose(found.logprobs, logprobs, atol=1e-5)
        assert found.finish is (Finish.STOP if tokens[-1] == END else Finish.LIMIT)


def test_batch_that_was_empty_repeats_bit_for_bit(model):
    one = batch(model)
    first, again = (run(one, jobs(20)) for _ in range(2))
    for name in first:
        np.testing.assert_array_equal(first[name].logprobs, again[name].logprobs)


def test_unseeded_rows_of_one_prompt_differ(model):
    first, second = (jobs(1, limit=40, seed=None, id=name)[0] for name in "ab")
    ended = run(batch(model), [first, second])
    assert ended["a"].token_ids.tolist() != ended["b"].token_ids.tolist()


def test_cancelled_row_leaves_at_the_next_step(model):
    one = batch(model)
    first, second = jobs(2, limit=50, seed=3)
    ended = one.advance([first, second])
    first.cancelled = True
    ended += one.advance([])
    assert [e.finish for e in ended if e.job is first] == [Finish.ABORTED]
    assert first not in one.jobs


def test_refresh_reads_running_rows_with_the_new_weights(model):
    """With unchanged weights nothing but the version changes."""
    plain, refreshed = batch(model), batch(model)
    waiting = jobs(8, limit=30)
    expected = run(plain, waiting)
    mine = jobs(8, limit=30)
    ended = {e.job.sampling.id: e for e in refreshed.advance(mine)}
    for _ in range(5):
        ended |= {e.job.sampling.id: e for e in refreshed.advance([])}
    refreshed.refresh(7)
    refreshed.refresh(1)
    ended |= run(refreshed, [])
    assert {len(e.job.origins) for e in ended.values()} == {1, 2}
    for found in ended.values():
        assert found.token_ids.tolist() == slowly(model, found.job)[0]
        np.testing.assert_allclose(found.logprobs, slowly(model, found.job)[1], atol=1e-5)
        spans = found.job.spans(len(found.token_ids))
        assert spans[0].start == 0 and spans[-1].stop == len(found.token_ids)
        assert [s.weight_version for s in spans] == [0, 1][: len(spans)]
    assert set(ended) == set(expected)


def test_a_step_without_a_job_answers_nobody(model):
    """All requests of a first turn may have been cancelled before it."""
    assert batch(model).advance([]) == []


def test_an_aborted_row_leaves_with_the_tokens_that_it_has(model):
    """The longest of eight is aborted at its third token; the others go on as they would have."""
    whole = run(batch(model), jobs(8, limit=30))
    longest = max(whole, key=lambda name: len(whole[name].token_ids))
    running = batch(model)
    started = jobs(8, limit=30)
    first = running.advance(started)
    second = running.advance([])
    started[int(longest)].aborted = True
    third = running.advance([])
    ended = {one.job.sampling.id: one for one in (*first, *second, *third)} | run(running, [])
    cut = ended.pop(longest)
    assert cut.finish is Finish.ABORTED and len(cut.token_ids) == 3
    np.testing.assert_array_equal(cut.token_ids, whole[longest].token_ids[:3])
    for name, one in ended.items():
        np.testing.assert_array_equal(one.token_ids, whole[name].token_ids)
