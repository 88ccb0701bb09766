import json
import sys
import textwrap

import pytest

from rl.limits.custom import CustomLimitConfig, build_limit
from rl.limits.limit import LimitError
from tests.rewards.groups import group, prompt, verdicts

GROUPS, VERDICTS = [group("a", [10, 20])], [verdicts([True, False])]


@pytest.fixture
def beside_the_recipe(tmp_path, monkeypatch):
    """A module of the user's, in an importable folder."""
    (tmp_path / "my_limit.py").write_text(
        textwrap.dedent(
            """
            CONSTANT = 3

            def rising(prompt, step):
                return 10 + step

            def every(tokens):
                return lambda prompt, step: tokens

            def broken(prompt, step):
                raise KeyError(prompt.id)

            def nothing(value):
                return None

            class Longest:
                '''The longest right answer so far, and a margin.'''

                def __init__(self, margin=5, state=None, metrics=None):
                    self.longest, self.margin, self.given = {}, margin, state
                    self.metrics = metrics

                def limit(self, prompt, step):
                    return self.longest.get(prompt.id, 50) + self.margin

                def observe(self, groups, verdicts):
                    for group, judged in zip(groups, verdicts):
                        pairs = zip(group.lengths, judged)
                        self.longest[group.prompt.id] = max(n for n, v in pairs if v.correct)
                    return self.metrics

                def state(self):
                    return self.longest if self.given is None else self.given

                def load(self, state):
                    self.longest = state
            """
        )
    )
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_limit", None)


def custom(name, **args):
    return build_limit(
        CustomLimitConfig(max_response_tokens=60, target=f"my_limit.{name}", args=args)
    )


pytestmark = pytest.mark.usefixtures("beside_the_recipe")


def test_a_users_function_is_a_limit_without_state():
    limit = custom("rising")
    assert [limit.limit(prompt("a"), step) for step in (0, 7)] == [10, 17]
    assert limit.observe(GROUPS, VERDICTS) == {}
    assert limit.state() == {}
    limit.load({})


def test_args_make_a_function_a_factory():
    assert custom("every", tokens=60).limit(prompt("a"), 0) == 60


def test_a_users_class_learns_from_judged_groups():
    limit = custom("Longest")
    assert limit.limit(prompt("a"), 0) == 55
    assert limit.observe(GROUPS, VERDICTS) == {}
    assert limit.limit(prompt("a"), 1) == 15


def test_args_are_those_of_the_class():
    assert custom("Longest", margin=1).limit(prompt("a"), 0) == 51


def test_the_state_of_a_users_class_comes_back_from_a_checkpoint():
    limit, restored = custom("Longest"), custom("Longest")
    limit.observe(GROUPS, VERDICTS)
    restored.load(json.loads(json.dumps(limit.state())))
    assert restored.limit(prompt("a"), 1) == 15


def test_what_a_limit_measures_is_logged_under_its_family():
    limit = custom("Longest", metrics={"mean": 3})
    assert limit.observe(GROUPS, VERDICTS) == {"limit/custom/mean": 3.0}


@pytest.mark.parametrize("tokens", [0, 61, -1, 7.0, True, None, "9"])
def test_a_limit_outside_the_runs_room_ends_the_run(tokens):
    with pytest.raises(LimitError) as caught:
        custom("every", tokens=tokens).limit(prompt("a"), 3)
    assert str(caught.value) == (
        f"limit.target=my_limit.every: allowed {tokens!r} tokens to prompt a at step 3; return an "
        "int from 1 to limit.max_response_tokens=60"
    )


@pytest.mark.parametrize("tokens", [1, 60])
def test_a_limit_may_use_all_the_room(tokens):
    assert custom("every", tokens=tokens).limit(prompt("a"), 3) == tokens


@pytest.mark.parametrize(
    ("state", "message"),
    [({"a": {1}}, "cannot be saved as JSON"), ({"a": (1,)}, "come back"), ([1], "come back")],
)
def test_a_state_that_a_checkpoint_would_lose_ends_the_run(state, message):
    with pytest.raises(LimitError, match=message):
        custom("Longest", state=state).state()


def test_measures_that_are_no_numbers_end_the_run():
    with pytest.raises(LimitError, match=r"observe returned .*'much'.*numbers by name"):
        custom("Longest", metrics={"mean": "much"}).observe(GROUPS, VERDICTS)


def test_what_the_users_limit_raises_is_named():
    with pytest.raises(LimitError, match=r"target=my_limit.broken: limit raised KeyError: 'a'"):
        custom("broken").limit(prompt("a"), 0)
    with pytest.raises(LimitError, match="observe raised ValueError"):
        custom("Longest").observe(GROUPS, [verdicts([False, False])])


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("my_limit.missing", {}, "limit.target=my_limit.missing: cannot be imported"),
        ("nowhere.rising", {}, "limit.target=nowhere.rising: cannot be imported"),
        ("my_limit.CONSTANT", {}, "limit.target=my_limit.CONSTANT: is a int; name a function"),
        ("my_limit.every", {"speed": 1}, r"limit.args=\{'speed': 1\}: my_limit.every refused them"),
        ("my_limit.nothing", {"value": 1}, "made a NoneType, which is no limit"),
    ],
)
def test_what_is_no_limit_is_refused_before_the_run(target, args, message):
    with pytest.raises(ValueError, match=message):
        build_limit(CustomLimitConfig(target=target, args=args))


def test_a_target_is_a_dotted_path():
    assert CustomLimitConfig(target="my_limit.rising").problems() == []
    assert CustomLimitConfig(target="rising").problems() == [
        "limit.target='rising': a custom limit is a dotted path; set limit.target=module.name"
    ]
