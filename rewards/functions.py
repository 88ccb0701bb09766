"""Functions of the user's own that judge one completion, in the pool's processes.

Two shapes are accepted: `function(prompt, completion)`, which gets our value types and returns a
number, and TRL's `function(prompts, completions, **columns)`, which gets lists of one and returns a
list of one. What a function returns is checked here, on our side of the process boundary.
"""

from collections.abc import Callable, Mapping
from inspect import signature
from math import isfinite
from typing import Any

from data.types import Completion, Prompt, Verdict
from data.wire import decode, encode
from rewards.pool import AnswerFailed, Job, WorkerPool
from rewards.protocols import Verifier
from rewards.target import load_target

SHAPE = "function(prompt, completion), or TRL's function(prompts, completions, **columns)"
ANSWER_COLUMNS = ("answer", "solution", "ground_truth")
"""Names under which a TRL-shaped function finds the reference answer."""


def function_job(key: str, target: str, args: Mapping[str, Any] | None = None) -> Job:
    """What a worker is to load; `key` is the recipe's key that names the function."""
    named = {"key": key, "target": target, "args": dict(args or {})}
    return Job(loader="rewards.functions:load", args=named)


def load(key: str, target: str, args: dict[str, Any]) -> Callable[[bytes], Any]:
    """Runs in the worker: what it calls with [prompt, completion]."""
    function = load_target(key, target, args, SHAPE)
    if "completions" not in signature(function).parameters:
        return lambda payload: function(*decode(payload, tuple[Prompt, Completion]))
    return lambda payload: function(**trl_columns(*decode(payload, tuple[Prompt, Completion])))


def trl_columns(prompt: Prompt, completion: Completion) -> dict[str, list[Any]]:
    """The keyword arguments of TRL's reward functions, for a batch of one conversation."""
    columns = {**dict.fromkeys(ANSWER_COLUMNS, prompt.answer), **prompt.extra}
    return {name: [value] for name, value in columns.items()} | {
        "prompts": [list(prompt.messages)],
        "completions": [[{"role": "assistant", "content": completion.text}]],
        "completion_ids": [completion.token_ids.tolist()],
    }


def number(value: object) -> float | None:
    """What a function returned, as a finite number; None where a TRL-shaped one does not apply.

    Raises `AnswerFailed` for anything else: another type, another count, NaN, infinity.
    """
    if isinstance(value, list):
        if len(value) != 1:
            raise AnswerFailed(f"returned {len(value)} values for one completion")
        if value[0] is None:
            return None
        value = value[0]
    if not isinstance(value, int | float):
        raise AnswerFailed(f"returned {type(value).__name__}, which is no number")
    if not isfinite(value):
        raise AnswerFailed(f"returned {value}, which is no finite number")
    return float(value)


def with_functions(verify: Verifier, functions: Mapping[str, str], pool: WorkerPool) -> Verifier:
    """`verify`, with the values of the user's functions (name to path) in `Verdict.parts`.

    A function that fails is a grader that fails: the verdict is None, with the reason.
    """
    jobs = function_jobs(functions)

    async def judge(prompt: Prompt, completion: Completion) -> Verdict:
        verdict = await verify(prompt, completion)
        if verdict.correct is None:
            return verdict
        payload = encode((prompt, completion))
        parts = {}
        for name, job in jobs.items():
            try:
                value = number(await pool.ask(job, payload))
            except AnswerFailed as error:
                return Verdict(correct=None, reason=f"reward.functions.{name} {error}")
            if value is not None:
                parts[name] = value
        return Verdict(correct=verdict.correct, reason=verdict.reason, parts=parts)

    return judge if jobs else verify


def function_jobs(functions: Mapping[str, str]) -> dict[str, Job]:
    """A job for each function of `reward.functions`."""
    return {
        name: function_job(f"reward.functions.{name}", target) for name, target in functions.items()
    }
