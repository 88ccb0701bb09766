import pytest

from data.types import Verdict
from rewards.verifiers.custom import CustomVerifierConfig, build_verifier
from tests.rewards.groups import completion, prompt
from tests.rewards.pools import with_pool


def verdict(target, args=None, text="it is 7"):
    config = CustomVerifierConfig(target=f"tests.rewards.users.{target}", args=args or {})

    async def judge(pool):
        return await build_verifier(config, pool)(prompt("p"), completion("c", 3, text))

    return with_pool(judge, timeout_seconds=0.3 if target == "hangs" else 30.0)


def test_a_users_function_says_what_is_right():
    assert verdict("is_seven") == Verdict(correct=True)
    assert verdict("is_seven", text="it is 8") == Verdict(correct=False)


def test_args_make_the_target_a_factory():
    assert verdict("beyond", {"words": 2}).correct is True
    assert verdict("beyond", {"words": 3}).correct is False


@pytest.mark.parametrize(
    ("target", "reason"),
    [
        ("hangs", "timed out: no result within 0.3 s"),
        ("dies", "died: the worker process ended by signal 9 (SIGKILL)"),
        ("raises", "raised ZeroDivisionError: no tokens"),
        ("nan", "returned nan, which is no finite number"),
        ("trl_two", "returned 2 values for one completion"),
        ("trl_does_not_apply", "returned None: a verifier says true or false"),
        ("half", "returned 0.5: a verifier says true or false"),
    ],
)
def test_a_verifier_that_fails_is_no_wrong_answer(target, reason):
    failed = verdict(target)
    assert failed.correct is None
    assert failed.reason.startswith(f"verifier.target=tests.rewards.users.{target} {reason}")


def test_the_target_is_a_dotted_path():
    [problem] = CustomVerifierConfig(target="judge").problems()
    assert problem.startswith("verifier.target='judge': a custom verifier is a dotted path")
