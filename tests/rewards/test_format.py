import pytest

from data.types import Finish
from rewards.format import format_part, well_formed
from tests.rewards.groups import completion


@pytest.mark.parametrize(
    ("text", "formed"),
    [
        (r"<think>a</think> \boxed{7}", True),
        (r"a</think> it is $\boxed{\frac{1}{2}}$.", True),
        (r" <think>a</think>\boxed{7}", True),
        (r"\boxed{7}", False),
        (r"<think>a \boxed{7}", False),
        (r"<think>\boxed{7}</think> seven", False),
        (r"a</think>b</think> \boxed{7}", False),
        (r"<think>a<think>b</think> \boxed{7}", False),
        (r"a</think> <think> \boxed{7}", False),
        (r"a</think> \boxed{7", False),
        (r"a</think> \boxed{}", False),
        ("", False),
    ],
)
def test_thinking_is_closed_once_and_then_a_box_is(text, formed):
    assert well_formed(text) is formed


def test_the_part_is_the_weight_of_an_answer_that_ended():
    text = r"a</think> \boxed{7}"
    assert format_part(completion("c", 3, text), 0.25) == 0.25
    assert format_part(completion("c", 3, text, Finish.LIMIT), 0.25) == 0
    assert format_part(completion("c", 3, "7"), 0.25) == 0
