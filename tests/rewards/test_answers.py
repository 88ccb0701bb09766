"""Where answers stand, held to a slow reference and to linear time."""

import re
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish
from rewards.answers import boxed_answer, did_not_end, final_text, stated_answer
from tests.rewards.groups import completion


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"so \boxed{7}", "7"),
        (r"\boxed{1} no, \boxed{2}", "2"),
        (r"\boxed{\frac{1}{2}}.", r"\frac{1}{2}"),
        (r"\boxed{ x }", "x"),
        (r"<think> \boxed{3} </think> it is \boxed{4}", "4"),
        (r"<think> \boxed{3} </think> it is 4", None),
        (r"a</think>b \boxed{1}</think> \boxed{5}", "5"),
        (r"\boxed{1} and \boxed{2", "1"),
        (r"\boxed{\left\{1\right.}", r"\left\{1\right."),
        (r"\boxed{{a}{b}} }", "{a}{b}"),
        ("the answer is 7", None),
        ("", None),
    ],
)
def test_the_answer_is_the_last_closed_box_after_the_thinking(text, answer):
    assert boxed_answer(text) == answer


def slow_boxed_answer(text):
    """The definition, box by box from the last one: the first that is closed."""
    final = text.rpartition("</think>")[2]
    for box in reversed([*re.finditer(r"\\boxed\{", final)]):
        depth = 1
        for mark in re.finditer(r"\\.|[{}]", final[box.end() :], re.DOTALL):
            depth += {"{": 1, "}": -1}.get(mark[0], 0)
            if depth == 0:
                return final[box.end() :][: mark.start()].strip()
    return None


pieces = st.lists(
    st.sampled_from([r"\boxed{", "{", "}", r"\{", r"\}", r"\\", "a", " ", "</think>"]), max_size=14
)


@given(pieces.map("".join))
def test_one_pass_over_the_text_finds_what_the_definition_finds(text):
    assert boxed_answer(text) == slow_boxed_answer(text)


@pytest.mark.parametrize(
    "text",
    [
        r"\boxed{" * 20_000,
        r"\boxed{" * 10_000 + "}" * 10_000,
        "{" * 100_000,
        "</answer>" + "<answer>" * 20_000,
        "</think>" * 20_000,
    ],
    ids=["open boxes", "nested boxes", "braces", "tags", "thinking"],
)
def test_hostile_text_is_read_in_linear_time(text):
    start = time.process_time()
    stated_answer(text)
    assert time.process_time() - start < 2


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        (r"<answer>3</answer> \boxed{4}", "4"),
        ("<answer>3</answer> or <answer> 4 </answer>.", "4"),
        ("<think>hm</think>\n Paris \n", "Paris"),
        ("<answer>not closed", "<answer>not closed"),
        ("", ""),
    ],
)
def test_an_answer_is_boxed_or_tagged_or_all_that_is_left(text, answer):
    assert stated_answer(text) == answer


def test_the_final_text_is_what_follows_the_thinking():
    assert final_text("<think>a</think> b") == " b"
    assert final_text("no thinking") == "no thinking"


def test_only_what_ended_by_itself_is_judged():
    assert did_not_end(completion("c", 3)) is None
    assert did_not_end(completion("c", 3, finish=Finish.LIMIT)).correct is False
