import sys
import textwrap

import pytest

from rewards.config import CustomRewardConfig
from rewards.custom import build_reward
from tests.rewards.groups import group, verdicts

GROUPS, VERDICTS = [group("a", [10, 20])], [verdicts([True, False])]


@pytest.fixture
def beside_the_recipe(tmp_path, monkeypatch):
    """A module of the user's, in an importable folder."""
    (tmp_path / "my_reward.py").write_text(
        textwrap.dedent(
            """
            from data.types import Score

            CONSTANT = 3

            def every_one(groups, verdicts, value=1.0):
                return [[Score(correct=True, parts={"mine": value}, total=value)
                         for _ in g.completions] for g in groups]

            def weighted(value):
                return lambda groups, verdicts: every_one(groups, verdicts, value)

            def too_few(groups, verdicts):
                return [row[:1] for row in every_one(groups, verdicts)]

            def nothing(value):
                return None
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_reward", None)


def totals(config):
    return [[s.total for s in row] for row in build_reward(config)(GROUPS, VERDICTS)]


@pytest.mark.usefixtures("beside_the_recipe")
def test_a_users_function_is_a_reward():
    assert totals(CustomRewardConfig(target="my_reward.every_one")) == [[1.0, 1.0]]


@pytest.mark.usefixtures("beside_the_recipe")
def test_args_make_the_target_a_factory():
    config = CustomRewardConfig(target="my_reward.weighted", args={"value": 0.5})
    assert totals(config) == [[0.5, 0.5]]


@pytest.mark.usefixtures("beside_the_recipe")
@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("no_such_module.f", {}, "cannot be imported"),
        ("my_reward.no_such_name", {}, "cannot be imported"),
        ("my_reward.CONSTANT", {}, "is a int"),
        ("my_reward.weighted", {"vallue": 1}, "refused them"),
        ("my_reward.nothing", {"value": 1}, "returned NoneType"),
    ],
)
def test_what_cannot_be_a_reward_is_said_with_the_key_to_set(target, args, message):
    with pytest.raises(ValueError, match=r"reward\.(target|args)=") as caught:
        build_reward(CustomRewardConfig(target=target, args=args))
    assert message in str(caught.value)


@pytest.mark.usefixtures("beside_the_recipe")
def test_a_reward_that_forgets_completions_is_caught():
    reward = build_reward(CustomRewardConfig(target="my_reward.too_few"))
    with pytest.raises(ValueError, match=r"returned \[1\] scores per group; .* \[2\] completions"):
        reward(GROUPS, VERDICTS)
