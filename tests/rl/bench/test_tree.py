"""What the tree benchmark measures, on groups made by hand and on the shared engine."""

import numpy as np
import pytest

from data.types import Completion, Finish, Group, Prompt, Span, Verdict
from rewards.pool import WorkerPool
from rl.bench.lab import lab_prompts
from rl.bench.tree import TREE, Bench, Contender, described, diversity, diversity_ratio
from rollout.engine import independently
from rollout.prompt_tokens import PromptTokens
from rollout.stream import Judged
from rollout.trees.config import TreeConfig
from rollout.trees.sampler import tree_sampling
from rollout.vllm.start import CPU_BLOCK_TOKENS
from tests.engine_fixtures import LabEngine

PROMPT = Prompt(id="p", messages=(), token_ids=np.array([1], np.int32), answer="1")


def judged(*leaves: tuple[list[int], str, bool]) -> Judged:
    """A group of (tokens, answer, right)."""
    completions = tuple(
        Completion(
            id=str(index),
            text=f"\\boxed{{{answer}}}",
            token_ids=np.array(tokens, np.int32),
            logprobs=np.zeros(len(tokens), np.float32),
            limit=9,
            finish=Finish.STOP,
            spans=(Span(start=0, stop=len(tokens), weight_version=0),),
        )
        for index, (tokens, answer, _) in enumerate(leaves)
    )
    verdicts = tuple(Verdict(correct=right) for *_, right in leaves)
    return Judged(
        group=Group(prompt=PROMPT, completions=completions), verdicts=verdicts, oldest_version=0
    )


ALIKE = judged(([1, 2, 3, 4], "1", True), ([1, 2, 3, 4], "1", True))
APART = judged(([1, 2, 3, 4, 5], "1", True), ([1, 2, 3, 4, 6], "2", False))
"""Two runs of four tokens each, of which one is shared by both: 1 of 3."""


def test_worked_example_of_the_three_diversities() -> None:
    assert diversity([ALIKE]) == {"mixed_share": 0, "distinct_answers": 1, "new_ngrams": 0}
    assert diversity([APART]) == pytest.approx(
        {"mixed_share": 1, "distinct_answers": 2, "new_ngrams": 2 / 3}
    )


def test_the_ratio_is_that_of_the_diversity_which_lost_most() -> None:
    """Half of the groups are mixed, answers are 1.5 of 2, and new 4-grams are half."""
    assert diversity_ratio([APART], [APART]) == 1
    assert diversity_ratio([APART, ALIKE], [APART]) == pytest.approx(0.5)
    assert diversity_ratio([APART, APART], [APART, ALIKE]) == pytest.approx(4 / 3)


def test_a_contender_is_told_by_its_leaves_and_its_cache_hits() -> None:
    contender = Contender(
        name="any",
        sample_group=independently,
        judged=[ALIKE, APART],
        prompts=PromptTokens(asked=40, cached=10),
    )
    found = described(contender)
    assert found["leaf_tokens"] == 4.5 and found["accuracy"] == 0.75
    assert found["saved_share"] == 0 and found["prefix_cache_hit_rate"] == 0.25


def test_boundaries_are_those_of_cache_blocks() -> None:
    assert TREE.problems() == [] and TREE.segment_tokens % CPU_BLOCK_TOKENS == 0


@pytest.mark.engine
def test_trees_ask_for_fewer_tokens_and_find_their_paths_in_the_cache(
    lab_engine: LabEngine,
) -> None:
    def decode(token_ids: object) -> str:
        return ""

    pool = WorkerPool(workers=1, timeout_seconds=5.0, memory_gib=4.0)
    bench = Bench(
        loop=lab_engine.loop,
        engine=lab_engine.engine,
        pool=pool,
        prompts=lab_prompts("short", 4, 256),
        group_size=8,
        limit=128,
    )
    config = TreeConfig(segment_tokens=CPU_BLOCK_TOKENS, depth=4)
    trees = Contender(name="any", sample_group=tree_sampling(config, decode))
    lone = Contender(name="any", sample_group=independently)
    per_leaf = bench.tokens_per_leaf(trees, 7), bench.tokens_per_leaf(lone, 7)
    lab_engine.loop.run(pool.close())
    lengths = [length for each in lone.judged for length in each.group.lengths]
    assert per_leaf[1] == sum(lengths) / 32
    assert described(trees)["saved_share"] > 0 == described(lone)["saved_share"]
    assert 0.5 < trees.prompts.cached_share < 1
    assert (
        trees.prompts.asked
        > lone.prompts.asked
        == 8 * sum(len(prompt.token_ids) for prompt in bench.prompts)
    )
