"""Seven defects of TreePO's released code (multimodal-art-projection/TreePO at f055523), not here.

Each test sets up what went wrong there and shows what happens instead.
"""

import asyncio
from random import Random

import numpy as np
import pytest

from data.types import Completion, Finish, Prompt
from rollout.engine import Sampling
from rollout.trees.config import TreeConfig
from rollout.trees.fallback import at_random
from rollout.trees.sampler import tree_sampling
from rollout.trees.segments import segment_ids
from tests.rollout.token_engine import TokenEngine, letters, writes
from tests.rollout.tree_builders import leaf, segment

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1]), answer="7")


def sample(engine: TokenEngine, count: int, limit: int, seed: int, config: TreeConfig):
    async def together() -> list[Completion]:
        samplings = [Sampling(id=f"0/p/{n}", limit=limit, seed=seed) for n in range(count)]
        answers = tree_sampling(config, letters)(engine, PROMPT, samplings)
        return list(await asyncio.gather(*answers))

    return asyncio.run(together())


@pytest.mark.parametrize("depth", range(1, 5))
def test_fallback_window_of_minus_one_that_fails_every_draw_of_a_cut(depth: int) -> None:
    ended = leaf(*(segment(f"s{n}", [n]) for n in range(depth)))
    assert {at_random(ended, Random(seed)) for seed in range(60)} == set(range(depth))


def test_more_divergence_at_the_prompt_that_was_never_read() -> None:
    config = TreeConfig(segment_tokens=2, first_divergence_least=2, first_divergence_most=8)
    engines = [TokenEngine(writes("abcdef")) for _ in range(40)]
    for seed, engine in enumerate(engines):
        sample(engine, count=8, limit=9, seed=seed, config=config)
    roots = {sum(len(p.token_ids) == 1 for p, _ in engine.requests) for engine in engines}
    assert roots == {2, 3, 4, 5, 6, 7, 8}


@pytest.mark.parametrize(("stop", "finish"), [(True, Finish.REPETITION), (False, Finish.STOP)])
def test_repetition_setting_under_a_key_that_nobody_read(stop: bool, finish: Finish) -> None:
    config = TreeConfig(segment_tokens=256, stop_at_repetition=stop)
    (loop,) = sample(TokenEngine(writes("=" * 700)), 1, limit=900, seed=0, config=config)
    assert loop.finish is finish


def test_end_of_sequence_as_the_only_token_of_a_segment_that_was_overlooked() -> None:
    config = TreeConfig(segment_tokens=4)
    engine = TokenEngine(writes("four"))
    (only,) = sample(engine, 1, limit=20, seed=0, config=config)
    assert only.finish is Finish.STOP and only.text == "four" and only.num_tokens == 5
    assert [sampling.limit for _, sampling in engine.requests] == [4, 4]


@pytest.mark.parametrize("cut", [1, 5, 8])
def test_answer_across_a_boundary_that_was_missed(cut: int) -> None:
    before = "x" * (16 - cut)
    config = TreeConfig(segment_tokens=16, stop_at_answer=True)
    text = before + "\\boxed{42} and so on without an end"
    (answered,) = sample(TokenEngine(writes(text)), 1, limit=900, seed=0, config=config)
    assert answered.finish is Finish.STOP and answered.num_tokens == 32
    assert answered.text == text[:32]


def test_loop_across_a_boundary_that_was_missed() -> None:
    config = TreeConfig(segment_tokens=260)
    text = "once upon a time, " * 8 + "=" * 300 + " and more of it" * 60
    (loop,) = sample(TokenEngine(writes(text)), 1, limit=2000, seed=0, config=config)
    assert loop.finish is Finish.REPETITION and loop.num_tokens == 520


def test_joined_names_of_segments_in_which_1_and_11_were_one_path() -> None:
    config = TreeConfig(segment_tokens=1)
    leaves = sample(TokenEngine(writes("abc")), count=16, limit=9, seed=0, config=config)
    shared = [tuple(ids[:-1]) for ids in segment_ids(leaves)]
    assert len({len(ids) for ids in shared}) == 1 and len(set(shared)) == 8
    assert all("/s" in name for ids in shared for name in ids)


@pytest.mark.parametrize("segment_tokens", [3, 4, 7])
def test_truncation_of_the_wrong_path_that_let_leaves_exceed_the_limit(segment_tokens: int) -> None:
    config = TreeConfig(segment_tokens=segment_tokens, depth=3)
    leaves = sample(TokenEngine(writes("x" * 99)), count=8, limit=10, seed=0, config=config)
    assert [(leaf.num_tokens, leaf.finish) for leaf in leaves] == [(10, Finish.LIMIT)] * 8
