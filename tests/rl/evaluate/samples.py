"""Outcomes written out by hand, and a small evaluation stored as `laconic eval` stores it."""

import asyncio
from pathlib import Path

import numpy as np

from rl.evaluate.evaluate import evaluate
from rl.evaluate.outcomes import Modes, Outcome, Outcomes, collect
from rl.evaluate.results import COMPLETIONS, Measured
from rl.run.completions import write_evaluated
from tests.rl.builders import TableEngine, prompt, verify_text

LIMIT = 16


def outcomes(table: dict[str, list[tuple[int, bool | None]]], level: str | None = None) -> Outcomes:
    """Problem to (tokens, correct) of its completions; one of `LIMIT` tokens is truncated."""
    return collect(
        Outcome(problem, level, correct, tokens, tokens >= LIMIT)
        for problem, row in table.items()
        for tokens, correct in row
    )


def random_table(
    seed: int, num_problems: int, words: tuple[str, ...] = ("4", "4", "no", "?")
) -> dict[str, list[tuple[int, str]]]:
    """Answers for `TableEngine`: three samples and a greedy one; `?` has no verdict."""
    random = np.random.default_rng(seed)
    return {
        f"p{number}": [
            (int(random.integers(2, LIMIT + 4)), str(random.choice(words))) for _ in range(4)
        ]
        for number in range(num_problems)
    }


def stored(folder: Path, answers: dict[str, list[tuple[int, str]]], model: str) -> Measured:
    """Evaluates the table's answers and writes the completions to `folder`."""
    folder.mkdir(parents=True, exist_ok=True)
    prompts = [prompt(name, level=1 + number % 3) for number, name in enumerate(answers)]
    evaluation = asyncio.run(
        evaluate(
            TableEngine(answers), prompts, verify_text, name=model, limit=LIMIT,
            samples_per_problem=3,
        )
    )  # fmt: skip
    write_evaluated(folder / COMPLETIONS, 0, evaluation)
    settings = {"data": "table", "temperature": 1.0, "max_response_tokens": LIMIT}
    return Measured(model=model, settings=settings, modes=evaluation.outcomes)


def modes(sampled: Outcomes) -> Modes:
    return Modes(sampled, None)
