"""Answers as real models write them, each with the letter that a reader would note down."""

import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from data.types import Finish
from rewards.verifiers.multiple_choice import (
    MultipleChoiceConfig,
    build_verifier,
    chosen_letter,
)
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_pool

SAID = [
    ("B", "B"),
    ("B.", "B"),
    ("(B)", "B"),
    ("**B**", "B"),
    ("b", "B"),
    ("B) Paris", "B"),
    ("B. Paris\n\nParis has been the capital since 987.", "B"),
    (r"\boxed{B}", "B"),
    (r"\boxed{b}", "B"),
    (r"\boxed{(B)}", "B"),
    (r"\boxed{\text{B}}", "B"),
    (r"\boxed{\textbf{(B) } 42}", "B"),
    (r"\boxed{\mathrm{(B)}\ 42}", "B"),
    (r"\boxed{B. Paris}", "B"),
    (r"$\boxed{\text{B}}$ since A and C are wrong", "B"),
    ("<answer>B</answer>", "B"),
    ("<answer>(B) Paris</answer>", "B"),
    ("The answer is B.", "B"),
    ("The answer is (B).", "B"),
    ("the correct answer is **B**", "B"),
    ("**Answer: B**", "B"),
    ("Answer: **B**", "B"),
    ("**Answer:** B", "B"),
    ("Final Answer: B) 42", "B"),
    ("### Final answer\n\nB", "B"),
    ("The correct option is **(B) Paris**.", "B"),
    ("Therefore, the answer is option B.", "B"),
    ("The answer should be $B$.", "B"),
    (r"The answer is $\text{B}$.", "B"),
    ("The answer is b.", "B"),
    ("Therefore B is the correct answer.", "B"),
    ("Option B is correct, because option A is too small.", "B"),
    ("The answer is B, since option C contradicts the premise.", "B"),
    ("I would choose (B).", "B"),
    ("It must be option B.", "B"),
    ("A) is too small, C) too large.\nAnswer: B", "B"),
    ("The answer is A. Wait, no: the answer is B.", "B"),
    ("<think>The answer is A.</think>The answer is B.", "B"),
    ("After all of this,\n\nB", "B"),
    ("Paris", None),
    ("A good answer is hard to find.", None),
    ("The answer is a number.", None),
    ("The answer is not B.", None),
    ("I'm not sure what the answer is; I'd say none.", None),
    ("A) is wrong. B) is wrong. C) is wrong.", None),
    ("Either option A or option B.", None),
    (r"\boxed{42}", None),
    (r"\boxed{x}", None),
    ("The answer is Z.", None),
    ("", None),
]


@pytest.mark.parametrize(("text", "letter"), SAID, ids=[repr(text)[:40] for text, _ in SAID])
def test_the_letter_that_a_reader_would_note(text, letter):
    assert chosen_letter(text) == letter


@pytest.mark.parametrize("shape", sorted({text for text, letter in SAID if letter == "B"}))
@pytest.mark.parametrize("letter", "DEJ")
def test_every_letter_is_read_in_every_shape(shape, letter):
    said = shape.replace("(B)", f"({letter})").replace("B", letter)
    if "b" in (shape, shape[-2:-1]) or r"{b}" in shape:
        said = shape.replace("answer is b", f"answer is {letter.lower()}")
        said = letter.lower() if shape == "b" else said.replace("{b}", f"{{{letter.lower()}}}")
    assert chosen_letter(said) == letter


@settings(max_examples=30)
@given(st.text(max_size=80))
def test_any_text_has_a_letter_or_none(text):
    assert chosen_letter(text) in {None, *"ABCDEFGHIJ"}


@pytest.mark.parametrize("piece", ["answer is ", "option (", "A) ", "*", "((", r"\text{", "A is "])
def test_hostile_text_is_read_in_linear_time(piece):
    start = time.process_time()
    chosen_letter(piece * (100_000 // len(piece)))
    assert time.process_time() - start < 2


def verdict(reference, text, finish=Finish.STOP):
    async def judge(pool):
        verify = build_verifier(MultipleChoiceConfig(letters="ABCD"), pool)
        return await verify(prompt("p", reference), completion("c", 3, text, finish))

    return with_pool(judge)


def test_the_verdict_compares_letters():
    assert verdict("B", "The answer is (B).").correct is True
    assert verdict("(B) Paris", "B").correct is True
    assert verdict("B", "C").correct is False
    assert verdict("B", "no idea").reason == "no choice is named"
    assert verdict("B", "B", Finish.LIMIT).reason == "ended by limit"


def test_a_reference_without_a_letter_is_the_graders_failure():
    failed = verdict("Paris", "B")
    assert failed.correct is None
    assert failed.reason == "the reference answer 'Paris' names none of ABCD"


def test_letters_must_be_capitals():
    [problem] = MultipleChoiceConfig(letters="abc1").problems()
    assert problem.startswith("verifier.letters='abc1': set capital letters")
