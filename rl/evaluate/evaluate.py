"""Sampling and judging held-out problems: all requests at once, each judged as it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from hashlib import blake2b

from data.types import Completion, Prompt, Verdict
from rl.evaluate.evaluation import Evaluation, Judged
from rollout.engine import Engine, Sampling

Verify = Callable[[Prompt, Completion], Awaitable[Verdict]]
"""A `rewards.protocols.Verifier`."""


async def evaluate(
    engine: Engine,
    prompts: Sequence[Prompt],
    verify: Verify,
    *,
    name: str,
    limit: int,
    samples_per_problem: int,
    temperature: float = 1.0,
    top_p: float = 1.0,
    greedy: bool = True,
    seed: int = 0,
) -> Evaluation:
    """Evaluates the engine's current weights on `prompts` with `samples_per_problem` draws each.

    `name` distinguishes the requests of this evaluation from all others of the run (`base`,
    `step_30`). The seeds do not depend on it: two evaluations draw with the same random numbers,
    so that a difference between them is less noisy. `greedy` adds one answer at temperature 0.
    Raises ValueError without prompts or samples, RuntimeError when the grader failed on every
    completion, and what the engine raises.
    """
    if not prompts or samples_per_problem < 1:
        raise ValueError(
            f"evaluation of {len(prompts)} problems with {samples_per_problem} samples each: give "
            "held-out problems (data.eval_path) and evaluation.samples_per_problem>=1"
        )
    drawn = [
        Sampling(
            id=f"eval/{name}/{row}/{sample}",
            limit=limit,
            temperature=temperature,
            top_p=top_p,
            seed=request_seed(seed, prompt.id, sample),
        )
        for row, prompt in enumerate(prompts)
        for sample in range(samples_per_problem)
    ]
    greedily = [
        Sampling(id=f"eval/{name}/{row}/greedy", limit=limit, temperature=0.0)
        for row in range(len(prompts))
        if greedy
    ]
    repeated = [prompt for prompt in prompts for _ in range(samples_per_problem)]
    requests = [*zip(repeated, drawn, strict=True), *zip(prompts, greedily, strict=False)]
    judged = await _all_or_none(
        [_sample_and_judge(engine, verify, prompt, sampling) for prompt, sampling in requests]
    )
    sampled = judged[: len(drawn)]
    if all(j.verdict.correct is None for j in sampled):
        raise RuntimeError(
            f"evaluation {name}: the grader failed on all {len(sampled)} completions, first with: "
            f"{sampled[0].verdict.reason}"
        )
    return Evaluation(
        temperature=temperature,
        sampled=tuple(
            tuple(sampled[start : start + samples_per_problem])
            for start in range(0, len(sampled), samples_per_problem)
        ),
        greedy=tuple(judged[len(drawn) :]),
    )


def request_seed(seed: int, prompt_id: str, sample: int) -> int:
    """A seed in [0, 2^31) that is the same on every machine and in every run."""
    digest = blake2b(f"{seed}/{prompt_id}/{sample}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


async def _sample_and_judge(
    engine: Engine, verify: Verify, prompt: Prompt, sampling: Sampling
) -> Judged:
    completion = await engine.sample(prompt, sampling)
    verdict = await verify(prompt, completion)
    return Judged(prompt=prompt, completion=completion, verdict=verdict)


async def _all_or_none(work: Sequence[Awaitable[Judged]]) -> list[Judged]:
    """Results in order; the first failure cancels the rest and is raised as it was."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
