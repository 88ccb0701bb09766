import asyncio

import pytest

from data.types import Finish
from rewards.verifiers.exact import ExactConfig, build_verifier, exact_match
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_own_pool, with_pool


def verdict(reference, text, finish=Finish.STOP):
    async def judge(pool):
        verify = build_verifier(ExactConfig(), pool)
        return await verify(prompt("p", reference), completion("c", 3, text, finish))

    return with_pool(judge)


@pytest.mark.parametrize(
    ("reference", "text", "correct"),
    [
        ("a b", r"<think>x</think> \boxed{a  b}", True),
        ("a b", r"\boxed{ab}", False),
        ("a b", "<think>a c</think>\na\n b\n", True),
        ("Paris", "paris", False),
        (r"so it is \boxed{7}", "<answer>7</answer>", True),
        ("7", "the answer is 7", False),
    ],
)
def test_the_same_words_however_spaced_are_right(reference, text, correct):
    assert verdict(reference, text).correct is correct


def test_a_truncated_answer_is_wrong():
    assert verdict("7", r"\boxed{7}", Finish.LIMIT).reason == "ended by limit"


def test_white_space_is_all_that_is_forgiven():
    assert exact_match("x\n+ 1", "x + 1 ")
    assert not exact_match("x+1", "x + 1")


def test_no_process_starts():
    async def judge(pool):
        verify = build_verifier(ExactConfig(), pool)
        await asyncio.gather(*(verify(prompt("p"), completion("c", 1, str(i))) for i in range(100)))
        return len(pool._workers)

    assert with_own_pool(judge) == 0
