"""A user's functions in real worker processes; each way to fail has its outcome."""

import pytest

from data.types import Verdict
from rewards.config import RewardConfig
from rewards.functions import number, with_functions
from rewards.pool import AnswerFailed
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_pool

SEVEN = completion("c", 3, "it is 7")


async def right(asked, judged):
    return Verdict(correct=True, reason="by heart")


def judged(timeout_seconds=30.0, verify=right, **functions):
    """The verdict on SEVEN with functions of tests/rewards/users.py."""
    paths = {name: f"tests.rewards.users.{target}" for name, target in functions.items()}

    async def judge(pool):
        return await with_functions(verify, paths, pool)(prompt("p", "seven"), SEVEN)

    return with_pool(judge, timeout_seconds=timeout_seconds)


def test_values_become_parts_of_the_verdict():
    verdict = judged(seven="is_seven", words="num_words", half="numpy_half", trl="trl_length")
    parts = {"seven": 1.0, "words": 3.0, "half": 0.5, "trl": 12.0}
    assert verdict == Verdict(correct=True, reason="by heart", parts=parts)


def test_a_function_that_does_not_apply_gives_no_part():
    assert judged(trl="trl_does_not_apply") == Verdict(correct=True, reason="by heart")


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("hangs", "timed out: no result within 0.3 s"),
        ("dies", "died: the worker process ended by signal 9 (SIGKILL)"),
        ("raises", "raised ZeroDivisionError: no tokens"),
        ("leaves", "raised SystemExit: enough"),
        ("nan", "returned nan, which is no finite number"),
        ("infinite", "returned inf, which is no finite number"),
        ("trl_two", "returned 2 values for one completion"),
        ("text", "returned str, which is no number"),
        ("nothing", "returned NoneType, which is no number"),
    ],
)
def test_a_function_that_fails_is_no_wrong_answer(target, reason):
    verdict = judged(timeout_seconds=0.3 if target == "hangs" else 30.0, style=target)
    assert verdict == Verdict(correct=None, reason=f"reward.functions.style {reason}")


def test_a_verifier_that_failed_is_not_asked_further():
    async def failed(asked, judged):
        return Verdict(correct=None, reason="broken")

    assert judged(verify=failed, style="dies").reason == "broken"


def test_without_functions_the_verifier_is_itself():
    assert with_pool(lambda pool: _same(pool)) is True


async def _same(pool):
    return with_functions(right, {}, pool) is right


def test_numbers_and_lists_of_one_number_are_accepted():
    assert [number(value) for value in (True, 2, 0.5, [0.25], [None])] == [
        1.0,
        2.0,
        0.5,
        0.25,
        None,
    ]
    with pytest.raises(AnswerFailed, match="returned 0 values"):
        number([])


def test_names_of_functions_are_checked():
    problems = RewardConfig(functions={"length": "a.b", "x y": "a.b", "style": "f"}).problems()
    assert [text.split(":")[0] for text in problems] == [
        "reward.functions.length",
        "reward.functions.x y",
        "reward.functions.style='f'",
    ]
