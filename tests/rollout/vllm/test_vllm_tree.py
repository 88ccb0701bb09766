import asyncio

import pytest

from data.types import Completion, Group, Prompt
from rollout.engine import Sampling
from rollout.trees.config import TreeConfig
from rollout.trees.metrics import saved_share
from rollout.trees.sampler import tree_sampling
from rollout.trees.segments import segment_ids
from rollout.vllm.start import CPU_BLOCK_TOKENS
from tests.rollout.vllm.reference import log_prob_gap

pytestmark = pytest.mark.engine

WIDTH, LIMIT = 8, 200


def sample_trees(lab, decode, prompts, depth=14) -> list[list[Completion]]:
    """One tree for each prompt, all at once; hot, so that responses are long."""
    config = TreeConfig(segment_tokens=CPU_BLOCK_TOKENS, depth=depth)
    sample_group = tree_sampling(config, decode)

    def samplings(prompt: Prompt) -> list[Sampling]:
        return [
            Sampling(id=f"tree/{depth}/{prompt.id}/{n}", limit=LIMIT, temperature=1.3, seed=n)
            for n in range(WIDTH)
        ]

    async def tree(prompt: Prompt) -> list[Completion]:
        return list(await asyncio.gather(*sample_group(lab.engine, prompt, samplings(prompt))))

    async def together() -> list[list[Completion]]:
        return list(await asyncio.gather(*map(tree, prompts)))

    return lab.loop.run(together())


@pytest.fixture
def decode(lab_engine):
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lab_engine.folder)
    return lambda token_ids: tokenizer.decode(token_ids.tolist(), skip_special_tokens=True)


@pytest.fixture
def outputs(lab_engine, monkeypatch):
    """vLLM's final output of every request by its id, as they come."""
    llm, seen = lab_engine.engine.llm, {}
    generate = llm.generate

    async def watched(prompt, parameters, request_id, **options):
        async for output in generate(prompt, parameters, request_id, **options):
            seen[request_id] = output
            yield output

    monkeypatch.setattr(llm, "generate", watched)
    return seen


def test_segments_are_found_in_the_prefix_cache_and_joined_without_a_seam(
    lab_engine, decode, outputs
):
    prompts = lab_engine.prompts[:4]
    trees = sample_trees(lab_engine, decode, prompts)
    assert [len(leaves) for leaves in trees] == [WIDTH] * 4
    answered = [(p, leaf) for p, leaves in zip(prompts, trees, strict=True) for leaf in leaves]
    gap, num_tokens = log_prob_gap(lab_engine.model(), answered, 1.3, 1.0)
    assert num_tokens >= 1000 and gap <= 1e-3
    continued = [
        (output.num_cached_tokens, len(output.prompt_token_ids), len(prompt.token_ids))
        for prompt in prompts
        for name, output in outputs.items()
        if name.startswith(f"tree/14/{prompt.id}/")
    ]
    assert len(continued) == len(outputs)
    later = [(cached, length) for cached, length, bare in continued if length > bare]
    # the last sampled token of the segment before was never fed, so it is in no block
    expected = [(length - 1) // CPU_BLOCK_TOKENS * CPU_BLOCK_TOKENS for _, length in later]
    assert len(later) > 20 and [cached for cached, _ in later] == expected


def test_leaves_share_segments_token_by_token(lab_engine, decode):
    prompts = lab_engine.prompts[4:8]
    trees = sample_trees(lab_engine, decode, prompts)
    groups = [
        Group(prompt=prompt, completions=tuple(leaves))
        for prompt, leaves in zip(prompts, trees, strict=True)
    ]
    assert saved_share(groups) > 0.1
    for leaves in trees:
        places = {
            (name, leaf.token_ids[: number * CPU_BLOCK_TOKENS].tobytes())
            for leaf, ids in zip(leaves, segment_ids(leaves), strict=True)
            for number, name in enumerate(ids[:-1], start=1)
        }
        assert len({name for name, _ in places}) == len(places)
        assert all(leaf.num_tokens <= LIMIT for leaf in leaves)


def test_leaf_has_the_text_that_vllm_decodes(lab_engine, decode, outputs):
    (leaves,) = sample_trees(lab_engine, decode, lab_engine.prompts[:1], depth=1)
    whole = {tuple(o.outputs[0].token_ids): o.outputs[0].text for o in outputs.values()}
    assert [leaf.text for leaf in leaves] == [whole[tuple(leaf.token_ids)] for leaf in leaves]
    assert any("boxed" in leaf.text for leaf in leaves)
