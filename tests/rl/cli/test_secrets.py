from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError, walk
from rl.cli.secrets import mask, secret_problems

QUICKSTART = Path(__file__).resolve().parents[3] / "recipes" / "quickstart.yaml"
MACHINE = Machine(num_cores=2, num_gpus=0)
KEYS = {
    "a Hugging Face key": "hf_" + "aB3" * 12,
    "a W&B key": "0123456789abcdef" * 2 + "01234567",
    "an AWS key": "AKIA" + "ABCDEFGH23456789",
    "an OpenAI or Anthropic key": "sk-proj-" + "x1" * 15,
    "a GitHub key": "ghp_" + "q7" * 18,
    "an address with a password": "https://ada:lovelace@example.org/data",
}


@pytest.mark.parametrize(("kind", "value"), KEYS.items())
def test_an_override_that_holds_a_key_is_refused_without_showing_it(kind: str, value: str) -> None:
    with pytest.raises(RecipeError) as caught:
        compose(QUICKSTART, [f"data.system_prompt='use {value} please'"], MACHINE)
    (problem,) = caught.value.problems
    assert problem.startswith(f"data.system_prompt: holds {kind} (not shown)")
    assert value not in str(caught.value)


def test_a_key_under_a_wrong_name_is_not_shown_either() -> None:
    key = KEYS["a Hugging Face key"]
    with pytest.raises(RecipeError) as caught:
        compose(QUICKSTART, [f"hub.token={key}", f"{key}=[", f"num_steps={key}"], MACHINE)
    assert len(caught.value.problems) >= 3
    assert key not in str(caught.value)


def test_a_value_that_the_environment_holds_as_a_secret_is_refused(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "wJalr/XUtnFEMI+K7MDENG")
    with pytest.raises(RecipeError, match="the environment variable AWS_SECRET_ACCESS_KEY"):
        compose(QUICKSTART, ["data.system_prompt=${oc.env:AWS_SECRET_ACCESS_KEY}"], MACHINE)


def test_a_secret_name_is_enough() -> None:
    config = {"reward": {"args": {"api_key": "plain", "max_tokens": "8", "end_token": "<end>"}}}
    (problem,) = secret_problems(walk(config), {})
    assert problem.startswith("reward.args.api_key: holds a value under a secret's name")


def test_a_commit_is_no_key() -> None:
    config = {"model": {"revision": KEYS["a W&B key"]}}
    assert secret_problems(walk(config), {}) == []


def test_short_values_of_the_environment_are_common_words() -> None:
    assert secret_problems(walk({"data": {"split": "train"}}), {"MY_TOKEN": "train"}) == []


def test_mask_leaves_other_text_as_it_is() -> None:
    text = "learner.zero_stag=2: no such key; sk-learn, hf_short, https://example.org/a:b"
    assert mask(text) == text
    assert mask(f"x={KEYS['a GitHub key']}.") == "x=<secret>."
