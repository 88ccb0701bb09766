"""Small groups for the tests of rewards and gates."""

from collections.abc import Sequence

import numpy as np

from data.types import Budget, Completion, Finish, Group, Prompt, Span, Verdict


def prompt(prompt_id: str, answer: str = "7", budget: Budget | None = None) -> Prompt:
    return Prompt(id=prompt_id, messages=(), token_ids=np.array([1]), answer=answer, budget=budget)


def completion(
    completion_id: str, num_tokens: int, text: str = "", finish: Finish = Finish.STOP
) -> Completion:
    return Completion(
        id=completion_id,
        text=text,
        token_ids=np.zeros(num_tokens, np.int32),
        logprobs=np.zeros(num_tokens, np.float32),
        limit=100_000,
        finish=finish,
        spans=(Span(start=0, stop=num_tokens, weight_version=0),),
    )


def group(prompt_id: str, lengths: Sequence[int], budget: Budget | None = None) -> Group:
    return Group(
        prompt=prompt(prompt_id, budget=budget),
        completions=tuple(completion(f"{prompt_id}/{i}", n) for i, n in enumerate(lengths)),
    )


def verdicts(correct: Sequence[bool]) -> list[Verdict]:
    return [Verdict(correct=ok) for ok in correct]
