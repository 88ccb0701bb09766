import asyncio
from dataclasses import replace

import numpy as np

from data.types import Completion, Finish, Prompt, Span, SpanKind, TokenIds
from rollout.continuation import extended, joined, sampled_since
from rollout.engine import Sampling
from tests.fakes import FakeEngine

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([7, 8], np.int32), answer="3")


def decode(token_ids: TokenIds) -> str:
    return bytes(token_ids.tolist()).decode()


def part(name: str, text: bytes, finish: Finish, version: int) -> Completion:
    return Completion(
        id=name,
        text=text.decode(errors="replace"),
        token_ids=np.frombuffer(text, np.uint8).astype(np.int32),
        logprobs=np.full(len(text), -0.5, np.float32),
        limit=len(text),
        finish=finish,
        spans=(Span(start=0, stop=len(text), weight_version=version),),
    )


def test_extended_prompt_ends_with_the_response_so_far() -> None:
    longer = extended(PROMPT, np.array([1, 2], np.int32))
    assert longer.token_ids.tolist() == [7, 8, 1, 2] and longer.id == PROMPT.id


def test_joined_spans_keep_their_versions_and_follow_one_another() -> None:
    whole = joined(
        part("a", b"one ", Finish.LIMIT, 3),
        part("b", b"two", Finish.STOP, 4),
        limit=99,
        decode=decode,
    )
    assert whole.text == "one two" and whole.num_tokens == 7 and whole.limit == 99
    assert [(s.start, s.stop, s.weight_version) for s in whole.spans] == [(0, 4, 3), (4, 7, 4)]
    assert whole.id == "b" and whole.finish is Finish.STOP and whole.weight_versions == (3, 4)


def test_character_split_between_parts_is_whole_again() -> None:
    first, second = "\u00e9".encode()[:1], "\u00e9".encode()[1:]
    parts = part("a", first, Finish.WINDOW, 0), part("b", second, Finish.STOP, 0)
    assert joined(*parts, limit=2, decode=decode).text == "\u00e9"


def test_engine_continues_where_a_cut_completion_stood() -> None:
    async def run() -> Completion:
        engine = FakeEngine()
        begun = await engine.sample(PROMPT, Sampling(id="a", limit=2, seed=0))
        longer = extended(PROMPT, begun.token_ids)
        rest = await engine.sample(longer, Sampling(id="b", limit=5, seed=1))
        return joined(begun, rest, limit=7, decode=lambda token_ids: "")

    whole = asyncio.run(run())
    assert len(whole.token_ids) == whole.num_tokens <= 7 and whole.limit == 7


def test_tokens_of_this_steps_weights_are_those_sampled_since() -> None:
    begun, rest = part("a", b"ab", Finish.WINDOW, 3), part("b", b"cde", Finish.STOP, 4)
    whole = joined(begun, rest, limit=9, decode=decode)
    assert sampled_since(whole, 4).tolist() == [False, False, True, True, True]
    assert sampled_since(whole, 3).all() and not sampled_since(whole, 5).any()


def test_injected_tokens_are_nobodys_samples() -> None:
    injected = Span(start=0, stop=1, kind=SpanKind.INJECTED, weight_version=4)
    sampled = Span(start=1, stop=2, weight_version=4)
    completion = replace(part("a", b"ab", Finish.STOP, 4), spans=(injected, sampled))
    assert sampled_since(completion, 4).tolist() == [False, True]
