"""Small value types for the tests of runs and evaluations."""

import asyncio

import numpy as np

from data.types import Completion, Finish, Group, Prompt, Score, Span, Verdict
from rollout.engine import Sampling


def prompt(name: str, level: int | None = None, answer: str = "4") -> Prompt:
    return Prompt(
        id=name,
        messages=({"role": "user", "content": f"question {name}"},),
        token_ids=np.array([1, 2], np.int32),
        answer=answer,
        extra={} if level is None else {"level": level},
    )


def completion(
    name: str,
    num_tokens: int,
    finish: Finish = Finish.STOP,
    text: str = "4",
    limit: int = 16,
    versions: tuple[int, int] = (0, 0),
) -> Completion:
    """One whose first token was sampled by the first of `versions`, the rest by the second."""
    first, last = versions
    spans = [Span(start=0, stop=1, weight_version=first)]
    if num_tokens > 1:
        spans.append(Span(start=1, stop=num_tokens, weight_version=last))
    return Completion(
        id=name,
        text=text,
        token_ids=np.zeros(num_tokens, np.int32),
        logprobs=np.zeros(num_tokens, np.float32),
        limit=limit,
        finish=finish,
        spans=tuple(spans),
    )


def group(name: str, *completions: Completion) -> Group:
    return Group(prompt=prompt(name), completions=completions)


def score(correct: bool, length: float = 0.0) -> Score:
    return Score(
        correct=correct,
        parts={"correct": float(correct), "length": length},
        total=float(correct) + length,
    )


class TableEngine:
    """Answers from a table: prompt id to (tokens, text) of its samples, then of its greedy pass."""

    name = "table"
    weight_version = 0

    def __init__(self, answers: dict[str, list[tuple[int, str]]]) -> None:
        self.answers = answers
        self.requests: list[tuple[str, Sampling]] = []
        self.most_at_once = self._running = 0

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        self.requests.append((prompt.id, sampling))
        self._running += 1
        self.most_at_once = max(self.most_at_once, self._running)
        await asyncio.sleep(0)
        self._running -= 1
        which = sampling.id.rsplit("/", 1)[1]
        tokens, text = self.answers[prompt.id][-1 if which == "greedy" else int(which)]
        tokens = min(tokens, sampling.limit)
        finish = Finish.LIMIT if tokens == sampling.limit else Finish.STOP
        return completion(sampling.id, tokens, finish, text, sampling.limit)

    async def close(self) -> None: ...


async def verify_text(prompt: Prompt, completion: Completion) -> Verdict:
    """The text must be the answer; `?` makes the grader fail."""
    if completion.text == "?":
        return Verdict(correct=None, reason="timeout")
    return Verdict(correct=completion.text == prompt.answer)


GROUPS = [
    group("a", completion("a0", 4), completion("a1", 16, Finish.LIMIT, "so 4", versions=(1, 3))),
    group("b", completion("b0", 3), completion("b1", 2)),
]
VERDICTS = [
    [Verdict(correct=True), Verdict(correct=False, reason="no answer found")],
    [Verdict(correct=True), Verdict(correct=True)],
]
SCORES = [[score(True, 0.5), score(False, -0.5)], [score(True), score(True)]]
ADVANTAGES = [[1.0, -1.0], [0.0, 0.0]]
"""Two groups of two completions, their verdicts, scores and advantages: one update, [P][G]."""


class IdleStream:
    """A stream with nothing open."""

    def given_back(self) -> list[str]:
        return []

    def state(self) -> dict[str, object]:
        return {}

    def load(self, state: dict[str, object]) -> None:
        assert state == {}

    def clear(self) -> None: ...
