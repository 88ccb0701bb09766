"""What every engine keeps, the fake one included: `CONTRACT` holds one function per clause.

A test module parametrizes over `CONTRACT` (and `INTERRUPTIONS`, where they apply) and hands each
clause a `Subject`; the clause `closed_engine_refuses` stands apart because it ends the engine.
"""

import asyncio
import itertools
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest

from data.types import Completion, Finish, Prompt, SpanKind
from rollout.engine import Engine, EngineError, Sampling

REQUESTS = itertools.count()
NUM_CONCURRENT = 100
HOT = 2.0
"""A temperature at which lab models ramble on."""
ABORT_EVERY_SECONDS = 0.01


@dataclass(frozen=True, slots=True, kw_only=True)
class Subject:
    """An engine under test; `run` waits for a coroutine on the engine's event loop.

    Under `short_limit` tokens every completion is cut, under `long_limit` some end by themselves.
    """

    engine: Engine
    run: Callable[[Coroutine[Any, Any, Any]], Any]
    prompts: Sequence[Prompt]
    short_limit: int
    long_limit: int

    def sample(self, samplings: Sequence[Sampling]) -> list[Completion]:
        """One completion per sampling, all in flight at once, over the prompts in turn."""
        pairs = zip(itertools.cycle(self.prompts), samplings, strict=False)

        async def together() -> list[Completion]:
            return list(await asyncio.gather(*(self.engine.sample(p, s) for p, s in pairs)))

        completions: list[Completion] = self.run(together())
        return completions

    def requests(self, count: int, limit: int, **options: Any) -> list[Sampling]:
        """Fresh ids, seeds 0 to count - 1 unless `options` has one."""
        return [
            Sampling(id=f"contract-{next(REQUESTS)}", limit=limit, **{"seed": seed, **options})
            for seed in range(count)
        ]


def limit_is_kept_and_named(subject: Subject) -> None:
    for completion in subject.sample(subject.requests(16, subject.short_limit)):
        assert completion.finish is Finish.LIMIT and completion.truncated
        assert len(completion.token_ids) == subject.short_limit == completion.limit


def end_of_sequence_is_a_stop_and_a_token(subject: Subject) -> None:
    completions = subject.sample(subject.requests(64, subject.long_limit))
    stopped = [c for c in completions if c.finish is Finish.STOP]
    assert stopped and all(len(c.token_ids) <= subject.long_limit for c in completions)
    assert len({int(c.token_ids[-1]) for c in stopped}) == 1
    end = stopped[0].token_ids[-1]
    assert all(end not in c.token_ids[:-1] for c in completions)


def every_token_has_its_log_prob(subject: Subject) -> None:
    for top_p in (1.0, 0.9):
        for completion in subject.sample(subject.requests(16, subject.long_limit, top_p=top_p)):
            assert completion.logprobs.shape == completion.token_ids.shape
            assert np.isfinite(completion.logprobs).all() and (completion.logprobs <= 0).all()


def completion_answers_its_own_request(subject: Subject) -> None:
    samplings = [
        Sampling(id=f"contract-{next(REQUESTS)}", limit=1 + index % subject.short_limit, seed=index)
        for index in range(NUM_CONCURRENT)
    ]
    completions = subject.sample(samplings)
    assert [(c.id, c.limit) for c in completions] == [(s.id, s.limit) for s in samplings]
    assert all(1 <= len(c.token_ids) <= c.limit for c in completions)


def seed_repeats_a_completion(subject: Subject) -> None:
    first = subject.sample(subject.requests(16, subject.long_limit))
    again = subject.sample(subject.requests(16, subject.long_limit))
    for one, other in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)
        np.testing.assert_array_equal(one.logprobs, other.logprobs)
    assert len({c.token_ids.tobytes() for c in first}) > len(subject.prompts[:16]) // 2


def greedy_needs_no_seed(subject: Subject) -> None:
    first, second = (
        subject.sample(subject.requests(4, subject.long_limit, temperature=0.0, seed=None))
        for _ in range(2)
    )
    for one, other in zip(first, second, strict=True):
        np.testing.assert_array_equal(one.token_ids, other.token_ids)


def spans_name_the_weights_of_every_token(subject: Subject) -> None:
    version = subject.engine.weight_version
    for completion in subject.sample(subject.requests(8, subject.long_limit)):
        bounds = [0, *(span.stop for span in completion.spans)]
        assert [span.start for span in completion.spans] == bounds[:-1]
        assert bounds[-1] == len(completion.token_ids)
        assert {span.kind for span in completion.spans} == {SpanKind.SAMPLED}
        assert completion.weight_versions == (version, version)


def cancelled_request_ends_and_others_go_on(subject: Subject) -> None:
    first, second = subject.requests(2, subject.long_limit)

    async def cancel_one() -> list[Completion | BaseException]:
        tasks = [
            asyncio.create_task(subject.engine.sample(subject.prompts[0], sampling))
            for sampling in (first, second)
        ]
        await asyncio.sleep(0)
        tasks[0].cancel()
        return list(await asyncio.gather(*tasks, return_exceptions=True))

    cancelled, kept = subject.run(cancel_one())
    assert isinstance(cancelled, asyncio.CancelledError)
    assert isinstance(kept, Completion) and kept.id == second.id


def limit_below_one_is_refused(subject: Subject) -> None:
    with pytest.raises(EngineError):
        subject.sample(subject.requests(1, 0))


def aborted_request_returns_its_first_tokens(subject: Subject) -> None:
    """Requests are aborted one after the other, so that some have begun and none has ended."""
    whole = subject.sample(subject.requests(32, subject.long_limit, temperature=HOT))
    samplings = subject.requests(32, subject.long_limit, temperature=HOT)

    async def abort_in_turn() -> list[Completion]:
        pairs = zip(itertools.cycle(subject.prompts), samplings, strict=False)
        tasks = [asyncio.create_task(subject.engine.sample(p, s)) for p, s in pairs]
        for sampling in samplings:
            await asyncio.sleep(ABORT_EVERY_SECONDS)
            await subject.engine.abort(sampling.id)
        return list(await asyncio.gather(*tasks))

    completions: list[Completion] = subject.run(abort_in_turn())
    assert any(c.finish is Finish.ABORTED and len(c.token_ids) for c in completions)
    for sampling, completion, full in zip(samplings, completions, whole, strict=True):
        num_tokens = len(completion.token_ids)
        assert (completion.id, completion.limit) == (sampling.id, sampling.limit)
        assert completion.finish in (Finish.ABORTED, full.finish)
        assert num_tokens == completion.num_tokens
        np.testing.assert_array_equal(completion.token_ids, full.token_ids[:num_tokens])
        np.testing.assert_allclose(completion.logprobs, full.logprobs[:num_tokens], atol=1e-3)


def abort_of_an_unknown_request_changes_nothing(subject: Subject) -> None:
    subject.run(subject.engine.abort("never-asked"))
    assert len(subject.sample(subject.requests(2, subject.short_limit))) == 2


def closed_engine_refuses(subject: Subject) -> None:
    """Ends the engine; closing twice is allowed."""
    subject.run(subject.engine.close())
    subject.run(subject.engine.close())
    with pytest.raises(EngineError, match="closed"):
        subject.sample(subject.requests(1, subject.short_limit))


CONTRACT = (
    limit_is_kept_and_named,
    end_of_sequence_is_a_stop_and_a_token,
    every_token_has_its_log_prob,
    completion_answers_its_own_request,
    seed_repeats_a_completion,
    greedy_needs_no_seed,
    spans_name_the_weights_of_every_token,
    cancelled_request_ends_and_others_go_on,
    limit_below_one_is_refused,
)
INTERRUPTIONS = (
    aborted_request_returns_its_first_tokens,
    abort_of_an_unknown_request_changes_nothing,
)
"""Further clauses, of an `InterruptibleEngine`."""
