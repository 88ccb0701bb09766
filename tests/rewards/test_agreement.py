"""Which samples agree, verifier by verifier; the right answer is never looked at."""

import asyncio
from typing import Any

import pytest

from data.types import Completion, Finish, Prompt, Verdict
from rewards.agreement import SPELLINGS, numbered_answers
from rewards.config import VerifierConfig
from rewards.pool import WorkerPool
from rewards.verifiers.custom import CustomVerifierConfig
from rewards.verifiers.exact import ExactConfig
from rewards.verifiers.math import MathConfig, MathVerifier
from rewards.verifiers.multiple_choice import MultipleChoiceConfig
from rewards.verifiers.string import StringConfig
from rl.cli.options import GROUPS
from tests.rl.builders import completion, prompt


async def nobody(prompt: Prompt, completion: Completion) -> Verdict:
    raise AssertionError("the spelling alone decides")


def numbers(config: VerifierConfig, *texts: str, verifier: Any = nobody) -> list[int | None]:
    completions = [completion(str(n), 3, text=text) for n, text in enumerate(texts)]
    samples = [(prompt("p", answer="unused"), completions)]
    [found] = asyncio.run(numbered_answers(samples, config, verifier))
    return found


def test_exact_answers_agree_however_they_are_spaced() -> None:
    texts = ("<answer>a  b</answer>", "so \\boxed{a b}", "a b", "A b", " ")
    assert numbers(ExactConfig(), *texts) == [0, 0, 0, 1, None]


def test_string_answers_agree_whatever_their_case_and_what_leads_up_to_them() -> None:
    texts = ("The answer is Paris.", "paris", "\\boxed{Lyon}", "...")
    assert numbers(StringConfig(), *texts) == [0, 0, 1, None]


def test_choices_agree_by_their_letter() -> None:
    texts = ("Answer: (B)", "I choose B", "C", "no idea")
    assert numbers(MultipleChoiceConfig(), *texts) == [0, 0, 1, None]


def test_a_function_of_ones_own_is_not_asked() -> None:
    config = CustomVerifierConfig(target="a.b")
    assert numbers(config, "\\boxed{1}", "\\boxed{1}", "\\boxed{1.0}") == [0, 0, 1]


def test_a_sample_that_did_not_end_gives_no_answer() -> None:
    cut = completion("c", 16, Finish.LIMIT, "\\boxed{4}")
    samples = [(prompt("p"), [cut]), (prompt("q"), [completion("d", 3, text="\\boxed{4}")])]
    assert asyncio.run(numbered_answers(samples, MathConfig(), nobody)) == [[None], [0]]


def test_mathematical_answers_agree_where_the_verifier_finds_them_equal() -> None:
    """0.5 and 1/2 by a real worker; text without a box is no answer; 2 is the first of its kind."""

    async def found() -> list[list[int | None]]:
        pool = WorkerPool(workers=1, timeout_seconds=30.0, memory_gib=4.0)
        texts = ("\\boxed{0.5}", "\\boxed{2}", "4", "\\boxed{\\frac{1}{2}}", "\\boxed{2}")
        completions = [completion(str(n), 3, text=text) for n, text in enumerate(texts)]
        samples = [(prompt("p", answer="7"), completions)]
        try:
            return await numbered_answers(samples, MathConfig(), MathVerifier(pool))
        finally:
            await pool.close()

    assert asyncio.run(found()) == [[0, 1, None, 0, 1]]


def test_where_the_grader_cannot_tell_answers_differ() -> None:
    async def fails(prompt: Prompt, completion: Completion) -> Verdict:
        return Verdict(correct=None, reason="timeout")

    texts = ("\\boxed{a}", "\\boxed{b}", "\\boxed{a}")
    assert numbers(MathConfig(), *texts, verifier=fails) == [0, 1, 0]


@pytest.mark.parametrize("name", GROUPS["verifier"])
def test_every_verifier_says_how_answers_are_spelt(name: str) -> None:
    assert GROUPS["verifier"][name].config in SPELLINGS
