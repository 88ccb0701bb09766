import asyncio
from collections.abc import Callable
from itertools import pairwise

import numpy as np

from data.types import Completion, Prompt
from rollout.engine import EngineError, SampleGroup, Sampling
from rollout.trees.config import TreeConfig
from rollout.trees.rounds import in_step
from rollout.trees.sampler import tree_sampling
from tests.fakes import WORDS, FakeEngine

PROMPTS = [
    Prompt(id=name, messages=(), token_ids=np.array([1]), answer="7") for name in ("p", "q", "r")
]
Leaves = list[tuple[str, str, tuple[str | None, ...]]]


def trees() -> SampleGroup:
    config = TreeConfig(segment_tokens=2, depth=5)
    return tree_sampling(config, lambda token_ids: "".join(WORDS[t] for t in token_ids))


def samplings(prompt: Prompt) -> list[Sampling]:
    return [Sampling(id=f"0/{prompt.id}/{n}", limit=20, seed=n) for n in range(8)]


async def sampled(sample_group: SampleGroup, engine: FakeEngine) -> list[Completion]:
    """The leaves of the trees of three prompts that start together."""
    answers = [a for prompt in PROMPTS for a in sample_group(engine, prompt, samplings(prompt))]
    return list(await asyncio.gather(*answers))


def leaves(sample_group: SampleGroup, seconds: Callable[[Sampling], float]) -> Leaves:
    found = asyncio.run(sampled(sample_group, FakeEngine(seconds=seconds)))
    return [(one.id, one.text, tuple(span.parent for span in one.spans)) for one in found]


def early_ones_last(sampling: Sampling) -> float:
    return 0.01 / (1 + sum(map(ord, sampling.id)) % 7)


def early_ones_first(sampling: Sampling) -> float:
    return 0.002 * (sum(map(ord, sampling.id)) % 7)


def test_trees_in_step_do_not_see_how_long_segments_take() -> None:
    free = [leaves(trees(), seconds) for seconds in (early_ones_first, early_ones_last)]
    assert free[0] != free[1]
    bound = [leaves(in_step(trees()), seconds) for seconds in (early_ones_first, early_ones_last)]
    assert bound[0] == bound[1]


def test_a_round_starts_when_all_of_the_one_before_has_ended() -> None:
    events = list[str]()

    class Engine(FakeEngine):
        async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
            events.append("start")
            completion = await super().sample(prompt, sampling)
            events.append("end")
            return completion

    asyncio.run(sampled(in_step(trees()), Engine(seconds=early_ones_last)))
    num_running = 0
    for before, event in pairwise(["end", *events]):
        assert event == "end" or before == "start" or num_running == 0
        num_running += 1 if event == "start" else -1


def test_a_segment_that_fails_holds_nobody_up() -> None:
    engine = FakeEngine(seconds=early_ones_last, fails=lambda s: s.id.endswith("0/q/0/s1"))

    async def together() -> list[Completion | BaseException]:
        sample = in_step(trees())
        answers = [a for prompt in PROMPTS for a in sample(engine, prompt, samplings(prompt))]
        return await asyncio.gather(*answers, return_exceptions=True)

    found = asyncio.run(together())
    failed = [isinstance(one, EngineError) for one in found]
    assert failed == [False] * 8 + [True] * 8 + [False] * 8
