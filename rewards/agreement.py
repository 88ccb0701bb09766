"""Which samples of a question give the same answer, by the rules of its verifier.

A vote counts answers, and must not know the right one: two samples agree where the verifier would
find the one right if the other were the reference.
"""

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

from data.types import Completion, Finish, Prompt
from rewards.answers import boxed_answer, stated_answer
from rewards.config import VerifierConfig
from rewards.protocols import Verifier
from rewards.verifiers.custom import CustomVerifierConfig
from rewards.verifiers.exact import ExactConfig
from rewards.verifiers.math import MathConfig
from rewards.verifiers.multiple_choice import MultipleChoiceConfig, chosen_letter
from rewards.verifiers.string import StringConfig, short_answer


class Spelling(NamedTuple):
    """`said(config, text)` is the answer in a completion's text, None or empty without one.

    Where `may_differ`, answers that are spelt differently may still be equal: the verifier is
    asked.
    """

    said: Callable[[Any, str], str | None]
    may_differ: bool


def words(config: VerifierConfig, text: str) -> str:
    """The words of the stated answer."""
    return " ".join(stated_answer(text).split())


SPELLINGS: dict[type[VerifierConfig], Spelling] = {
    MathConfig: Spelling(lambda config, text: boxed_answer(text), may_differ=True),
    ExactConfig: Spelling(words, may_differ=False),
    StringConfig: Spelling(
        lambda config, text: short_answer(stated_answer(text)), may_differ=False
    ),
    MultipleChoiceConfig: Spelling(
        lambda config, text: chosen_letter(text, config.letters), may_differ=False
    ),
    # A user's function need not compare with the reference, so it is not asked.
    CustomVerifierConfig: Spelling(words, may_differ=False),
}


async def numbered_answers(
    samples: Sequence[tuple[Prompt, Sequence[Completion]]],
    config: VerifierConfig,
    verifier: Verifier,
) -> list[list[int | None]]:
    """For each question, the number of each sample's answer among its different ones, from 0.

    None is a sample that did not end by itself, or gives no answer. An answer joins the first that
    equals it, in the order of the samples; where the grader cannot tell, they differ.
    """
    return await asyncio.gather(
        *(_numbered(prompt, completions, config, verifier) for prompt, completions in samples)
    )


async def _numbered(
    prompt: Prompt, completions: Sequence[Completion], config: VerifierConfig, verifier: Verifier
) -> list[int | None]:
    spelling = SPELLINGS[type(config)]
    numbers: dict[str, int] = {}
    first: list[str] = []
    found: list[int | None] = []
    for completion in completions:
        ended = completion.finish is Finish.STOP
        answer = spelling.said(config, completion.text) if ended else None
        if answer and answer not in numbers:
            earlier = first if spelling.may_differ else []
            numbers[answer] = await _equal(prompt, earlier, completion, verifier, len(first))
            if numbers[answer] == len(first):
                first.append(answer)
        found.append(numbers[answer] if answer else None)
    return found


async def _equal(
    prompt: Prompt, answers: Sequence[str], completion: Completion, verifier: Verifier, new: int
) -> int:
    """Which of `answers` the completion's equals, else `new`."""
    for number, answer in enumerate(answers):
        verdict = await verifier(replace(prompt, answer=answer), completion)
        if verdict.correct:
            return number
    return new
