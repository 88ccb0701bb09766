import asyncio
from collections import Counter
from contextlib import closing
from itertools import pairwise, product
from math import prod, sqrt

import numpy as np
import pytest

from data.types import Completion, Finish, Prompt, Verdict
from rollout.background import BackgroundLoop
from rollout.books import Fate
from rollout.engine import EngineError, Sampling
from rollout.stream import Request, Stream, StreamSettings
from rollout.trees.config import TreeConfig
from rollout.trees.sampler import segment_seed, tree_sampling
from rollout.trees.segments import segment_ids
from tests.fakes import WORDS, FakeEngine
from tests.rollout.token_engine import END, TokenEngine

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")
STAY = 0.6
"""Chance of the toy policy to repeat its last letter; the rest is shared by its two others."""


def tree(**options):
    config = TreeConfig(**{"segment_tokens": 4, **options})
    return tree_sampling(config, lambda token_ids: "".join(WORDS[t] for t in token_ids))


def samplings(count, limit=40, seed=0, step=0):
    return [
        Sampling(id=f"{step}/p/{n}", limit=limit, seed=None if seed is None else seed + n)
        for n in range(count)
    ]


def sample(engine, count=8, sample_group=None, **options):
    """The leaves of one tree."""

    async def together() -> list[Completion]:
        answers = (sample_group or tree())(engine, PROMPT, samplings(count, **options))
        return list(await asyncio.gather(*answers))

    return asyncio.run(together())


def jittered(sampling):
    """Milliseconds that differ from request to request."""
    return sum(map(ord, sampling.id)) % 7 / 1000


def test_leaves_are_completions_of_the_samplings() -> None:
    leaves = sample(FakeEngine(seconds=jittered), limit=10)
    assert [leaf.id for leaf in leaves] == [f"0/p/{n}" for n in range(8)]
    assert {leaf.limit for leaf in leaves} == {10}
    for leaf in leaves:
        assert leaf.text == "".join(WORDS[token] for token in leaf.token_ids)
        assert leaf.num_tokens == len(leaf.token_ids) <= 10
        stopped = leaf.token_ids[-1] == END
        assert leaf.finish is (Finish.STOP if stopped else Finish.LIMIT)
        assert stopped or leaf.num_tokens == 10


def test_request_continues_the_segments_before_it() -> None:
    engine = TokenEngine(lambda before, random: random.choice([2, 3]))
    leaves = sample(engine, limit=12)
    assert len({sampling.id for _, sampling in engine.requests}) == len(engine.requests) == 14
    behind = {sampling.id: prompt.token_ids.tolist()[1:] for prompt, sampling in engine.requests}
    for leaf, ids in zip(leaves, segment_ids(leaves), strict=True):
        tokens = leaf.token_ids.tolist()
        assert [behind[name] for name in ids[:-1]] == [tokens[: 4 * n] for n in range(len(ids) - 1)]
        assert tokens[: 4 * (len(ids) - 1)] in behind.values()


def test_segment_keeps_its_name_when_the_engine_answers_under_another() -> None:
    leaves = sample(TokenEngine(lambda before, random: 2), count=2, limit=8)
    assert [[span.parent for span in leaf.spans] for leaf in leaves] == [
        [None, "0/p/0/s0"],
        [None, "0/p/0/s1"],
    ]


def test_leaves_that_part_differ_from_there_on() -> None:
    engine = TokenEngine(lambda before, random: random.randrange(1, len(WORDS)))
    leaves = sample(engine, count=4, limit=8)
    first, second, third, fourth = (leaf.token_ids.tolist() for leaf in leaves)
    assert first[:4] == second[:4] != third[:4] == fourth[:4]
    assert len({tuple(tokens[4:]) for tokens in (first, second, third, fourth)}) == 4


def test_seed_repeats_a_tree() -> None:
    trees = [[leaf.text for leaf in sample(FakeEngine(), seed=seed)] for seed in (3, 3, 4)]
    assert trees[0] == trees[1] != trees[2]


def test_segment_seeds_are_their_own_and_unseeded_stays_unseeded() -> None:
    assert segment_seed(5, "a/s0") == segment_seed(5, "a/s0")
    assert len({segment_seed(5, "a/s0"), segment_seed(5, "a/s1"), segment_seed(6, "a/s0")}) == 3
    assert segment_seed(None, "a/s0") is None
    assert len(sample(FakeEngine(), seed=None)) == 8


def test_no_segment_waits_for_another() -> None:
    """One of the first two segments lasts: all leaves of the other end before it does."""

    async def race() -> list[bool]:
        release = asyncio.Event()

        class Engine(TokenEngine):
            async def sample(self, prompt, sampling):
                if sampling.id.endswith("/s1"):
                    await release.wait()
                return await super().sample(prompt, sampling)

        engine = Engine(lambda before, random: 2)
        leaves = [asyncio.ensure_future(a) for a in tree()(engine, PROMPT, samplings(8, limit=40))]
        await asyncio.gather(*leaves[:4])
        ended = [leaf.done() for leaf in leaves]
        release.set()
        await asyncio.gather(*leaves)
        return ended

    assert asyncio.run(race()) == [True] * 4 + [False] * 4


def test_failed_segment_fails_every_leaf_to_come() -> None:
    engine = FakeEngine(
        seconds=lambda s: 0.0 if s.id.endswith("/s0") else 60.0,
        fails=lambda s: s.id.endswith("/s0"),
    )

    async def together() -> list[Completion | BaseException]:
        answers = tree()(engine, PROMPT, samplings(4))
        return await asyncio.gather(*answers, return_exceptions=True)

    results = asyncio.run(together())
    assert len(results) == 4 and all(isinstance(result, EngineError) for result in results)
    assert engine.aborted == ["0/p/0/s1"]


def test_cancelled_leaf_ends_all_requests_of_its_tree() -> None:
    engine = FakeEngine(seconds=lambda s: 60.0)

    async def cancel() -> list[bool]:
        leaves = [asyncio.ensure_future(answer) for answer in tree()(engine, PROMPT, samplings(4))]
        await asyncio.sleep(0.01)
        leaves[2].cancel()
        await asyncio.wait(leaves)
        return [leaf.cancelled() for leaf in leaves]

    assert asyncio.run(cancel()) == [True] * 4
    assert sorted(engine.aborted) == ["0/p/0/s0", "0/p/0/s1"]


def test_segment_that_someone_else_cancels_cancels_the_leaves() -> None:
    class Engine(TokenEngine):
        async def sample(self, prompt, sampling):
            raise asyncio.CancelledError

    async def together() -> list[Completion | BaseException]:
        answers = tree()(Engine(lambda before, random: 2), PROMPT, samplings(4))
        return await asyncio.gather(*answers, return_exceptions=True)

    assert [type(result) for result in asyncio.run(together())] == [asyncio.CancelledError] * 4


@pytest.mark.parametrize("closing_early", [False, True])
def test_stream_of_trees_accounts_for_every_leaf(closing_early: bool) -> None:
    async def verify(prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(correct="boxed" in completion.text)

    engine = FakeEngine(seconds=lambda s: 60.0 if closing_early else jittered(s))
    settings = StreamSettings(group_size=6, seed=1)
    with closing(BackgroundLoop()) as loop:
        stream = Stream(
            engine, verify, lambda g, v: True, loop, settings, sample_group=tree(depth=3)
        )
        stream.submit([Request(prompt=PROMPT, limit=20, step=step) for step in range(3)])
        batch = [] if closing_early else stream.next_batch(3, version=0)
        stream.close()
    assert [len(judged.group.completions) for judged in batch] == ([] if closing_early else [6] * 3)
    fate = Fate.ABORTED if closing_early else Fate.TRAINED
    assert stream.fates[fate] == sum(stream.fates.values()) == 18
    assert len(engine.aborted) == (6 if closing_early else 0)


def toy(before, random) -> int:
    """Repeats the last of END, 1, 2 with chance 0.6; the response begins behind a 1."""
    last = before[-1]
    if random.random() < STAY:
        return last
    return random.choice([token for token in (END, 1, 2) if token != last])


def chance(response: tuple[int, ...]) -> float:
    """Chance of a whole response of the toy policy behind the prompt."""
    return prod(STAY if one == last else (1 - STAY) / 2 for last, one in pairwise((1, *response)))


def responses(limit: int) -> list[tuple[int, ...]]:
    """Every response that ends with END or at `limit`."""
    ended = [(*inner, END) for size in range(limit) for inner in product((1, 2), repeat=size)]
    return ended + list(product((1, 2), repeat=limit))


def test_leaves_that_part_at_the_prompt_are_independent_samples() -> None:
    """Each response comes as often as the policy says, and pairs of leaves as if by chance."""
    count, limit, rounds = 4, 4, 500
    group = tree(segment_tokens=2, first_divergence_least=count, first_divergence_most=count)

    async def draw(seed: int) -> list[tuple[int, ...]]:
        answers = group(TokenEngine(toy), PROMPT, samplings(count, limit, seed))
        return [tuple(leaf.token_ids.tolist()) for leaf in await asyncio.gather(*answers)]

    async def draw_all() -> list[list[tuple[int, ...]]]:
        return [await draw(seed) for seed in range(rounds)]

    drawn = asyncio.run(draw_all())
    times = Counter(response for leaves in drawn for response in leaves)
    expected = {response: chance(response) for response in responses(limit)}
    assert sum(expected.values()) == pytest.approx(1)
    for response, share in expected.items():
        spread = sqrt(share * (1 - share) / (count * rounds))
        assert abs(times[response] / (count * rounds) - share) < 5 * spread
    same = sum(share**2 for share in expected.values())
    pairs = [a == b for leaves in drawn for i, a in enumerate(leaves) for b in leaves[:i]]
    assert np.mean(pairs) == pytest.approx(same, abs=5 * sqrt(same / len(pairs)))
