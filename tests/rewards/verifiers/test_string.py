import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.verifiers.string import StringConfig, build_verifier, normalised, string_match
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_pool


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("The  Eiffel-Tower!", "eiffel tower"),
        ("Stra\u00dfe", "strasse"),
        ("\ufb01ne", "fine"),
        ("$1,000", "1 000"),
        ("\u65e5\u672c\u3002", "\u65e5\u672c"),
        ("The", "the"),
        ("...", ""),
    ],
)
def test_normalised_text(text, expected):
    assert normalised(text) == expected


@given(st.text(max_size=40))
def test_normalising_twice_changes_nothing(text):
    assert normalised(normalised(text)) == normalised(text)


@pytest.mark.parametrize(
    ("reference", "answer", "correct"),
    [
        ("Paris", "paris.", True),
        ("Paris", "The answer is: **Paris**.", True),
        ("Paris", "Answer: Paris", True),
        ("Paris", "London", False),
        ("Paris", "Paris or London", False),
        ("Paris", "", False),
        ("...", "!!!", False),
    ],
)
def test_case_punctuation_and_a_lead_are_forgiven(reference, answer, correct):
    assert string_match(reference, answer) is correct


def test_a_reference_may_accept_several_answers():
    assert string_match("USA||United States", "the united states", "||")
    assert not string_match("USA||United States", "the united states")


def test_the_verifier_reads_box_tag_or_final_text():
    async def judge(pool):
        verify = build_verifier(StringConfig(separator="|"), pool)
        texts = [r"<think>Rome</think> \boxed{\text{Paris}}", "<answer>PARIS</answer>", "Rome"]
        return [
            (await verify(prompt("p", "Paris|Paname"), completion("c", 3, text))).correct
            for text in texts
        ]

    assert with_pool(judge) == [False, True, False]
