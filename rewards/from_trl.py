"""A reward function written for TRL, used as it is: it is given what `GRPOTrainer` would give.

That is `function(prompts, completions, completion_ids, **columns) -> list[float]`, sync or async:
one entry per completion, the dataset's columns repeated, `trainer_state.global_step`, `log_extra`
and `log_metric`. Of these the function gets what it names, or everything if it takes `**kwargs`.
Its value is the completion's whole reward; `correct` stays the verifier's.

TRL leaves out a completion for which a function returns None. Here every trained completion has a
reward, so None stops the run, as NaN, infinity and a wrong count do.
"""

import asyncio
import inspect
import logging
import math
import traceback
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from data.types import Completion, Group, Message, Prompt, Score
from rewards.background import start_loop, wait_for
from rewards.compose import correctness
from rewards.protocols import Reward, RewardError, Verdicts

logger = logging.getLogger(__name__)

TRL_NAMES = frozenset({"prompts", "completions", "completion_ids"})
"""Parameters by which a function is known as one for TRL."""
TRAINER_NAMES = frozenset({"trainer_state", "log_extra", "log_metric"})

Render = Callable[[Prompt, Completion], tuple[Any, Any]]
"""A prompt and a completion in one of TRL's two formats."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TrainerState:
    """The part of `transformers.TrainerState` that a reward can know here."""

    global_step: int
    """Updates so far: the newest weight version that sampled."""


def as_messages(prompt: Prompt, completion: Completion) -> tuple[list[Message], list[Message]]:
    """TRL's conversational format."""
    return [dict(m) for m in prompt.messages], [{"role": "assistant", "content": completion.text}]


def as_text(prompt: Prompt, completion: Completion) -> tuple[str, str]:
    """TRL's standard format; raises RewardError where the prompt is a conversation."""
    if len(prompt.messages) != 1:
        raise RewardError(
            f"reward.shape=trl_text: the prompt {_start(prompt)} has {len(prompt.messages)} "
            "messages, not one text; set reward.shape=trl"
        )
    return prompt.messages[0]["content"], completion.text


def from_trl(function: Callable[..., Any], target: str, render: Render) -> Reward:
    """`function` as a Reward. `target` is its name in messages, and its last part the score's."""
    loop: asyncio.AbstractEventLoop | None = None
    part = target.rpartition(".")[2]

    def trl_reward(groups: Sequence[Group], verdicts: Verdicts) -> list[list[Score]]:
        nonlocal loop
        given = _accepted(function, arguments(groups, render, target), target)
        try:
            returned = function(**given)
            if inspect.isawaitable(returned):
                loop = loop or start_loop("laconic reward")
                returned = wait_for(loop, returned)
        # A user's function raises what it likes; the message says where.
        except Exception as error:
            raise RewardError(f"{raised(target, error)}; {_format_hint(render)}") from error
        values = iter(_numbers(returned, groups, target))
        return [[_score(ok, next(values), part) for ok in row] for row in correctness(verdicts)]

    return trl_reward


def arguments(groups: Sequence[Group], render: Render, target: str) -> dict[str, Any]:
    """Everything that TRL passes, one entry per completion [B]; a row's missing column is None."""
    flat = [(group.prompt, completion) for group in groups for completion in group.completions]
    rendered = [render(prompt, completion) for prompt, completion in flat]
    names = {name: None for prompt, _ in flat for name in prompt.extra}
    columns = {name: [prompt.extra.get(name) for prompt, _ in flat] for name in names}
    return {
        **columns,
        "prompts": [prompt for prompt, _ in rendered],
        "completions": [completion for _, completion in rendered],
        "completion_ids": [completion.token_ids.tolist() for _, completion in flat],
        "trainer_state": TrainerState(global_step=max(c.weight_versions[1] for _, c in flat)),
        "log_extra": lambda column, values: logger.info("%s: %s is not kept", target, column),
        "log_metric": lambda name, value: logger.info("%s: %s=%g", target, name, value),
    }


def raised(target: str, error: Exception) -> str:
    """What a user's function raised, and in which line of it."""
    frames = traceback.extract_tb(error.__traceback__)
    place = f" (line {frames[-1].lineno} of {frames[-1].filename})" if len(frames) > 1 else ""
    return f"reward.target={target} raised {type(error).__name__}: {error}{place}"


def _score(correct: bool, value: float, part: str) -> Score:
    return Score(correct=correct, parts={part: value}, total=value)


def _accepted(
    function: Callable[..., Any], given: Mapping[str, Any], target: str
) -> dict[str, Any]:
    try:
        parameters = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return dict(given)
    missing = [
        p.name
        for p in parameters
        if p.default is p.empty
        and p.kind not in (p.VAR_POSITIONAL, p.VAR_KEYWORD)
        and p.name not in given
    ]
    if missing:
        columns = [name for name in given if name not in TRL_NAMES | TRAINER_NAMES]
        raise RewardError(
            f"reward.target={target} needs {', '.join(missing)}, which the data lack; they have "
            f"the columns {', '.join(columns) or '(none)'}"
        )
    if any(p.kind is p.VAR_KEYWORD for p in parameters):
        return dict(given)
    named = {p.name for p in parameters}
    return {name: value for name, value in given.items() if name in named}


def _numbers(returned: Any, groups: Sequence[Group], target: str) -> list[float]:
    flat = [(group.prompt, completion) for group in groups for completion in group.completions]
    try:
        values = list(returned)
    except TypeError:
        raise RewardError(
            f"reward.target={target}: returned {type(returned).__name__}, not a list of numbers"
        ) from None
    if len(values) != len(flat):
        raise RewardError(
            f"reward.target={target}: returned {len(values)} rewards for {len(flat)} completions"
        )
    for value, (prompt, completion) in zip(values, flat, strict=True):
        if problem := _number_problem(value):
            raise RewardError(
                f"reward.target={target}: returned {problem} for completion {completion.id} of the "
                f"prompt {_start(prompt)}; return a finite number for every completion"
            )
    return [float(value) for value in values]


def _number_problem(value: Any) -> str | None:
    """Why `value` is no reward; NumPy's and torch's scalars are numbers."""
    if value is None:
        return "None"
    try:
        number = math.nan if isinstance(value, str | bytes) else float(value)
    except (TypeError, ValueError, OverflowError):
        return f"a {type(value).__name__}"
    return None if math.isfinite(number) else ascii(value)[:40]


def _format_hint(render: Render) -> str:
    if render is as_text:
        return "it was given prompts and completions as text; set reward.shape=trl for messages"
    return "it was given prompts and completions as messages; set reward.shape=trl_text for text"


def _start(prompt: Prompt) -> str:
    content = prompt.messages[-1]["content"] if prompt.messages else prompt.id
    return repr(content if len(content) <= 60 else content[:57] + "...")
