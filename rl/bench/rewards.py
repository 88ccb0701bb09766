"""`laconic bench rewards`: the pooled math verifier against serial math_verify in one process.

Both judge the same completions: distinct answers that need math_verify (fractions, roots,
polynomials, intervals), so that neither cache nor the short cut for integers plays a part in the
ratio. Serial is the same comparison without deadline, pool or event loop.
"""

import asyncio
import logging
import os
from collections.abc import Sequence
from dataclasses import dataclass
from random import Random
from time import perf_counter
from typing import Any

import numpy as np

from data.types import Completion, Finish, Prompt, Span, Verdict
from rewards.answers import boxed_answer
from rewards.pool import WorkerPool
from rewards.verifiers.latex import be_quiet, equal
from rewards.verifiers.math import MathVerifier
from rl.bench.bench import Ratio, Result, alternate, paired_ratio

logger = logging.getLogger(__name__)

NEVER_ENDS = "9^{9^{9^9}}"
THINKING = "We restate the problem, try small cases, and check the result. " * 30

Pair = tuple[Prompt, Completion]


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """The contenders: our verifier on its own loop, and the same comparison one by one."""

    runner: asyncio.Runner
    pool: WorkerPool
    num_completions: int

    def ours(self, number: int) -> float:
        """Completions per second through the pool, all asked for at once."""
        pairs = completions(number, self.num_completions)
        start = perf_counter()
        verdicts, _ = self.runner.run(judge_all(MathVerifier(self.pool), pairs))
        rate = len(pairs) / (perf_counter() - start)
        _check(verdicts)
        return rate

    def serial(self, number: int) -> float:
        """Completions per second in this process, one after the other."""
        pairs = completions(number, self.num_completions)
        start = perf_counter()
        verdicts = [Verdict(correct=_serial(*pair)) for pair in pairs]
        rate = len(pairs) / (perf_counter() - start)
        _check(verdicts)
        return rate

    def beside_one_that_hangs(self) -> dict[str, Any]:
        """Seconds until all others have their verdicts, without and with an answer that hangs."""
        pairs = completions(-1, self.num_completions)
        _, alone = self.runner.run(judge_all(MathVerifier(self.pool), pairs))
        hanging = pair_of("1/2", NEVER_ENDS)
        verdicts, seconds = self.runner.run(judge_all(MathVerifier(self.pool), [hanging, *pairs]))
        _check(verdicts[1:])
        return {
            "others_seconds_without": round(max(alone), 3),
            "others_seconds": round(max(seconds[1:]), 3),
            "hanging_seconds": round(seconds[0], 3),
            "hanging_verdict": f"{verdicts[0].correct}: {verdicts[0].reason}",
            "others_failed": sum(verdict.correct is None for verdict in verdicts[1:]),
        }


def run(
    against: str,
    rounds: int = 10,
    num_completions: int = 800,
    workers: int = 0,
    timeout_seconds: float = 5.0,
) -> Result:
    """Our completions per second over those of `against` (serial); `workers` 0 is one a core."""
    workers = workers or os.cpu_count() or 1
    be_quiet()
    with asyncio.Runner() as runner:
        pool = WorkerPool(workers=workers, timeout_seconds=timeout_seconds, memory_gib=4.0)
        bench = Bench(runner=runner, pool=pool, num_completions=num_completions)
        try:
            ours, serial = alternate(bench.ours, bench.serial, rounds)
            hanging = bench.beside_one_that_hangs()
        finally:
            runner.run(pool.close())
    measured: Ratio = paired_ratio(ours, serial)
    logger.info("rewards: %.2f times serial; beside one that hangs: %s", measured.ratio, hanging)
    return Result(
        name="rewards",
        against=against,
        **measured._asdict(),
        setting={
            "workers": workers,
            "cores": os.cpu_count(),
            "completions": num_completions,
            "rounds": rounds,
            "timeout_seconds": timeout_seconds,
        },
        extra={
            "ours_per_second": [round(rate) for rate in ours],
            "serial_per_second": [round(rate) for rate in serial],
            "beside_one_that_hangs": hanging,
        },
    )


async def judge_all(
    verifier: MathVerifier, pairs: Sequence[Pair]
) -> tuple[list[Verdict], list[float]]:
    """The verdicts of all pairs, asked for at once, and the seconds after which each came."""
    start = perf_counter()

    async def judge(prompt: Prompt, completion: Completion) -> tuple[Verdict, float]:
        verdict = await verifier(prompt, completion)
        return verdict, perf_counter() - start

    judged = await asyncio.gather(*(judge(*pair) for pair in pairs))
    return [verdict for verdict, _ in judged], [seconds for _, seconds in judged]


def completions(number: int, count: int) -> list[Pair]:
    """`count` prompts with a completion each, all answers distinct; half of them are right."""
    random = Random(number)
    return [pair_of(*_answers(random, index), index) for index in range(count)]


def pair_of(reference: str, answer: str, index: int = 0) -> Pair:
    """A prompt with `reference`, and a long completion that boxes `answer`."""
    prompt = Prompt(id=f"p{index}", messages=(), token_ids=np.zeros(1, np.int32), answer=reference)
    completion = Completion(
        id=f"c{index}",
        text=f"<think>{THINKING}</think>\nThe answer is $\\boxed{{{answer}}}$.",
        token_ids=np.zeros(1, np.int32),
        logprobs=np.zeros(1, np.float32),
        limit=1000,
        finish=Finish.STOP,
        spans=(Span(start=0, stop=1, weight_version=0),),
    )
    return prompt, completion


def _answers(random: Random, index: int) -> tuple[str, str]:
    """A reference and an answer that writes the same value otherwise, or a value one off."""
    a, b = random.randrange(2, 10**6), random.randrange(2, 10**6)
    off = a + index // 4 % 2
    return (
        (f"\\frac{{{a}}}{{{b}}}", f"{off}/{b}"),
        (f"{a}+\\sqrt{{{b}}}", f"\\sqrt{{{b}}}+{off}"),
        (f"x^2+{a}x-{b}", f"{off}x+x^2-{b}"),
        (f"[{a}, {a + b})", f"\\left[{off}, {a + b}\\right)"),
    )[index % 4]


def _serial(prompt: Prompt, completion: Completion) -> bool:
    answer = boxed_answer(completion.text)
    return answer is not None and equal(boxed_answer(prompt.answer) or prompt.answer, answer)


def _check(verdicts: Sequence[Verdict]) -> None:
    """Raises RuntimeError unless just the answers that are one off were found wrong."""
    expected = [index // 4 % 2 == 0 for index in range(len(verdicts))]
    if [verdict.correct for verdict in verdicts] != expected:
        raise RuntimeError("the contenders of this benchmark do not judge alike: it says nothing")
