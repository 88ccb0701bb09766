"""A dotted path that cannot be used is said with the key to set."""

import pytest

from rewards.target import load_target
from tests.rewards import users

HERE = "tests.rewards.users"


def test_a_path_names_a_function_or_with_args_a_factory():
    assert load_target("verifier.target", f"{HERE}.is_seven", {}, "function()") is users.is_seven
    made = load_target("verifier.target", f"{HERE}.beyond", {"words": 1}, "function()")
    assert callable(made)


@pytest.mark.parametrize(
    ("target", "args", "message"),
    [
        ("no_such_module.f", {}, r"verifier\.target=no_such_module\.f: cannot be imported"),
        (f"{HERE}.no_such_name", {}, "no_such_name: cannot be imported"),
        (f"{HERE}.STATE", {}, r"STATE: is a dict; name a function\(\)"),
        (f"{HERE}.beyond", {"word": 1}, r"verifier\.args=\{'word': 1\}: .* refused them"),
        (f"{HERE}.text", {"prompt": 1, "completion": 2}, "verifier.args it is a factory, but"),
    ],
)
def test_what_cannot_be_used_is_said_with_the_key_to_set(target, args, message):
    with pytest.raises(ValueError, match=message):
        load_target("verifier.target", target, args, "function()")
