"""vLLM with nothing of ours around it: the peer that the stream is measured against."""

import asyncio
from collections.abc import Sequence

from data.types import Prompt
from rollout.engine import Sampling
from rollout.vllm.engine import VllmEngine
from rollout.vllm.requests import sampling_parameters


async def bare_tokens(engine: VllmEngine, requests: Sequence[tuple[Prompt, Sampling]]) -> list[int]:
    """Tokens that `AsyncLLM.generate` samples for each request, all of them sent at once.

    With the parameters that the engine would give them, log-probs included.
    """
    return list(await asyncio.gather(*(_num_tokens(engine, *request) for request in requests)))


async def _num_tokens(engine: VllmEngine, prompt: Prompt, sampling: Sampling) -> int:
    from vllm.inputs import tokens_input

    stream = engine.llm.generate(
        tokens_input(prompt.token_ids.tolist()), sampling_parameters(sampling), sampling.id
    )
    return [len(output.outputs[0].token_ids) async for output in stream][-1]
