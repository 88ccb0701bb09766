"""Sampling and judging held-out problems: all requests at once, each judged as it ends."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import replace
from hashlib import blake2b

from data.types import Completion, Prompt, Verdict
from rl.evaluate.evaluation import Evaluation, Judged
from rollout.engine import Engine, Sampling
from rollout.stream import GraderError

Verify = Callable[[Prompt, Completion], Awaitable[Verdict]]
"""A `rewards.protocols.Verifier`."""

Hear = Callable[[Judged], None]
"""Is told of every completion when it is judged."""

Request = tuple[Prompt, Sampling]


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
    heard: Hear = lambda judged: None,
) -> Evaluation:
    """Evaluates the engine's current weights on `prompts` with `samples_per_problem` draws each.

    `name` distinguishes the requests of this evaluation from all others of the run (`base`,
    `step_30`). The seeds do not depend on it: two evaluations draw with the same random numbers,
    so that a difference between them is less noisy. `greedy` adds one answer at temperature 0.
    `heard` is told of every completion when it is judged.
    Raises ValueError without prompts or samples, `GraderError` when the grader failed on every
    completion, and what the engine raises.
    """
    if not prompts or samples_per_problem < 1:
        raise ValueError(
            f"evaluation of {len(prompts)} problems with {samples_per_problem} samples each: give "
            "held-out problems (data.eval_path) and evaluation.samples_per_problem>=1"
        )
    drawn = Sampling(id=f"eval/{name}", limit=limit, temperature=temperature, top_p=top_p)
    requests = drawn_requests(prompts, drawn, samples_per_problem, seed)
    num_drawn = len(requests)
    if greedy:
        requests += greedy_requests(prompts, drawn)
    judged = await _all_or_none(
        [_sample_and_judge(engine, verify, *request, heard) for request in requests]
    )
    _check_graded(judged[:num_drawn], name)
    return Evaluation(
        temperature=temperature,
        sampled=tuple(
            tuple(judged[start : start + samples_per_problem])
            for start in range(0, num_drawn, samples_per_problem)
        ),
        greedy=tuple(judged[num_drawn:]),
    )


def drawn_requests(
    prompts: Sequence[Prompt], sampling: Sampling, samples_per_problem: int, seed: int
) -> list[Request]:
    """`sampling` for each sample of each prompt, prompt by prompt, with an id and a seed."""
    return [
        (
            prompt,
            replace(
                sampling,
                id=f"{sampling.id}/{row}/{sample}",
                seed=request_seed(seed, prompt.id, sample),
            ),
        )
        for row, prompt in enumerate(prompts)
        for sample in range(samples_per_problem)
    ]


def greedy_requests(prompts: Sequence[Prompt], sampling: Sampling) -> list[Request]:
    """One request at temperature 0 for each prompt, under the limit of `sampling`."""
    greedily = replace(sampling, temperature=0.0, top_p=1.0)
    return [
        (prompt, replace(greedily, id=f"{sampling.id}/{row}/greedy"))
        for row, prompt in enumerate(prompts)
    ]


def request_seed(seed: int, prompt_id: str, sample: int) -> int:
    """A seed in [0, 2^31) that is the same on every machine and in every run."""
    digest = blake2b(f"{seed}/{prompt_id}/{sample}".encode(), digest_size=4).digest()
    return int.from_bytes(digest, "little") >> 1


def _check_graded(sampled: Sequence[Judged], name: str) -> None:
    if all(each.verdict.correct is None for each in sampled):
        raise GraderError(
            f"evaluation {name}: the grader failed on all {len(sampled)} completions, first with: "
            f"{sampled[0].verdict.reason}"
        )


async def _sample_and_judge(
    engine: Engine, verify: Verify, prompt: Prompt, sampling: Sampling, heard: Hear
) -> Judged:
    completion = await engine.sample(prompt, sampling)
    verdict = await verify(prompt, completion)
    judged = Judged(prompt=prompt, completion=completion, verdict=verdict)
    heard(judged)
    return judged


async def _all_or_none(work: Sequence[Awaitable[Judged]]) -> list[Judged]:
    """Results in order; the first failure cancels the rest and is raised as it was."""
    tasks = [asyncio.ensure_future(each) for each in work]
    try:
        return await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
