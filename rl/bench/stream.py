"""`laconic bench stream`: tokens per second of the stream over those of a bare `AsyncLLM`.

One vLLM on the lab's model answers the same seeded requests for both, sent at once. The stream
turns the answers into groups and has each judged by the math verifier's processes while others
still generate; the bare engine's answers are counted and thrown away.
"""

import logging
import os
from collections.abc import Sequence
from contextlib import ExitStack, closing
from dataclasses import dataclass, replace
from time import perf_counter
from typing import TYPE_CHECKING

from data.types import Prompt
from rewards.pool import WorkerPool
from rewards.verifiers.math import MathVerifier
from rl.bench.bench import Result, alternate, paired_ratio
from rl.bench.lab import lab_model, lab_prompts
from rollout.background import BackgroundLoop
from rollout.config import VllmConfig
from rollout.samplings import Request, Samplings, StreamSettings
from rollout.stream import Stream

if TYPE_CHECKING:
    from rollout.vllm.engine import VllmEngine

logger = logging.getLogger(__name__)

LAB, MAX_PROMPT_TOKENS, LIMIT = "short", 256, 512


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The contenders: the stream with its verifier, and the engine alone."""

    loop: BackgroundLoop
    engine: "VllmEngine"
    pool: WorkerPool
    prompts: Sequence[Prompt]
    group_size: int

    def ours(self, number: int) -> float:
        """Tokens per second of one step's groups through the stream."""
        verify = MathVerifier(self.pool)
        stream = Stream(
            self.engine, verify, lambda group, verdicts: True, self.loop, self.settings(number)
        )
        with closing(stream):
            began = perf_counter()
            stream.submit(self.requests(number))
            judged = stream.next_batch(len(self.prompts), self.engine.weight_version)
            seconds = perf_counter() - began
        return sum(sum(each.group.lengths) for each in judged) / seconds

    def bare(self, number: int) -> float:
        """Tokens per second of the same requests, ids aside, from `AsyncLLM.generate`."""
        from rollout.vllm.bare import bare_tokens

        samplings = Samplings(self.settings(number))
        asked = [
            (request.prompt, replace(sampling, id=f"bare/{sampling.id}"))
            for request in self.requests(number)
            for sampling in samplings(request)
        ]
        began = perf_counter()
        lengths = self.loop.run(bare_tokens(self.engine, asked))
        return sum(lengths) / (perf_counter() - began)

    def settings(self, number: int) -> StreamSettings:
        return StreamSettings(
            group_size=self.group_size, seed=number, groups_per_update=len(self.prompts)
        )

    def requests(self, number: int) -> list[Request]:
        return [Request(prompt=prompt, limit=LIMIT, step=number) for prompt in self.prompts]


def run(against: str, rounds: int = 10, num_prompts: int = 32, group_size: int = 8) -> Result:
    """Our tokens per second over those of `against` (vllm), at all requests running at once."""
    from rollout.vllm.start import start_engine

    config = VllmConfig(max_num_seqs=num_prompts * group_size)
    with ExitStack() as stack:
        loop = stack.enter_context(closing(BackgroundLoop()))
        engine = start_engine(
            config,
            loop=loop,
            model_path=str(lab_model(LAB)),
            dtype="float32",
            max_model_tokens=MAX_PROMPT_TOKENS + LIMIT,
        )
        stack.callback(engine.shutdown)
        pool = WorkerPool(workers=2, timeout_seconds=5.0, memory_gib=4.0)
        stack.callback(lambda: loop.run(pool.close()))
        bench = Bench(
            loop=loop,
            engine=engine,
            pool=pool,
            prompts=lab_prompts(LAB, num_prompts, MAX_PROMPT_TOKENS),
            group_size=group_size,
        )
        ours, bare = alternate(bench.ours, bench.bare, rounds)
    measured = paired_ratio(ours, bare)
    logger.info("stream: %.3f of vLLM alone", measured.ratio)
    return Result(
        name="stream",
        against=against,
        **measured._asdict(),
        setting={
            "model": f"lab:{LAB}",
            "running": num_prompts * group_size,
            "rounds": rounds,
            "cores": os.cpu_count(),
        },
        extra={
            "ours_tokens_per_second": [round(rate) for rate in ours],
            "bare_tokens_per_second": [round(rate) for rate in bare],
        },
    )
