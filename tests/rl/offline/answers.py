"""Judged completions written by hand: a letter names one, so that a test reads like a table."""

from collections.abc import Sequence

import numpy as np

from data.types import Completion, Finish, Span, Verdict
from rl.evaluate.evaluation import Judged
from tests.rl.builders import prompt

Answer = tuple[int, bool | None]
"""Tokens, and whether it is right; None where the grader failed."""


def side(name: str, answers: Sequence[Answer], problem: str = "p") -> list[Judged]:
    """The completions of one model: `name` with a number, each of tokens of its own."""
    return [
        judged(f"{name}{number}", tokens, correct, problem)
        for number, (tokens, correct) in enumerate(answers)
    ]


def judged(name: str, tokens: int, correct: bool | None, problem: str = "p") -> Judged:
    """Two completions have equal token ids when their names do."""
    ids = np.frombuffer(name.encode().ljust(tokens, b"."), np.uint8)[:tokens].astype(np.int32)
    completion = Completion(
        id=name,
        text=f"text of {name}",
        token_ids=ids,
        logprobs=np.zeros(tokens),
        limit=100,
        finish=Finish.STOP,
        spans=(Span(start=0, stop=tokens, weight_version=0),),
    )
    return Judged(prompt=prompt(problem), completion=completion, verdict=Verdict(correct=correct))
