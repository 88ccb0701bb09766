"""Wrong configurations, each with the message that a user reads."""

from pathlib import Path

import pytest

from rewards.verifiers.math import MathConfig
from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.options import GROUPS
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rl.limits.palu import PaluConfig

CPU = Machine(num_cores=2, num_gpus=0)
RECIPE = """\
# A method (arXiv:0000.00000).
# Run: torchrun mine.yaml
defaults:
  - schema
  - model: lab_short
  - data: lab_short
  - reward: sigmoid
  - gate: grpo_lambda
  - algorithm: grpo
  - limit: constant
  - rollout: vllm
  - learner: deepspeed
  - _self_

num_steps: 5
limit: {max_response_tokens: 512}
rollout: {max_prompt_tokens: 256}
"""


@pytest.fixture
def recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "mine.yaml").write_text(RECIPE, encoding="utf-8")
    return Path("mine.yaml")


def problems(recipe: Path, *overrides: str, machine: Machine = CPU) -> list[str]:
    with pytest.raises(RecipeError) as caught:
        compose(recipe, overrides, machine)
    return caught.value.problems


def test_recipe_anywhere_finds_our_groups_and_its_values_win(recipe: Path) -> None:
    config = compose(recipe, ["rollout.max_num_seqs=64"], CPU).config
    assert isinstance(config, RunConfig)
    assert config.model.path == "lab:short"
    assert (config.num_steps, config.rollout.max_num_seqs) == (5, 64)  # type: ignore[attr-defined]


def test_recipes_own_folder_is_searched_before_ours(recipe: Path) -> None:
    Path("model").mkdir()
    Path("model/lab_short.yaml").write_text("path: lab:short\nrevision: mine\n", encoding="utf-8")
    assert compose(recipe, [], CPU).config.model.revision == "mine"


def test_recipe_builds_on_another(recipe: Path) -> None:
    Path("child.yaml").write_text("defaults: [mine, _self_]\nseed: 7\n", encoding="utf-8")
    config = compose(Path("child.yaml"), [], CPU).config
    assert (config.seed, config.num_steps) == (7, 5)


def test_composition_leaves_no_file_behind(recipe: Path) -> None:
    compose(recipe, [], CPU)
    assert [path.name for path in Path().iterdir()] == ["mine.yaml"]


def test_unknown_key_gets_the_nearest_name(recipe: Path) -> None:
    assert problems(recipe, "learner.learning_rat=1e-5") == [
        "learner.learning_rat=1e-05 (command line): no such key; "
        "did you mean learner.learning_rate?"
    ]


def test_key_without_its_section_gets_the_full_key(recipe: Path) -> None:
    assert problems(recipe, "max_num_seqs=64") == [
        "max_num_seqs=64 (command line): no such key; did you mean rollout.max_num_seqs?"
    ]


def test_unknown_key_of_a_recipe_is_given_with_its_line(recipe: Path) -> None:
    recipe.write_text(RECIPE + "algorithm:\n  num_minibatch: 2\n", encoding="utf-8")
    assert problems(recipe) == [
        "algorithm.num_minibatch=2 (mine.yaml line 19): no such key; "
        "did you mean algorithm.num_minibatches?"
    ]


def test_wrong_type_says_what_is_expected(recipe: Path) -> None:
    assert problems(recipe, "num_steps=many", "learner.schedule=cosin", "data.path=[a]") == [
        "num_steps=many (command line): must be an integer",
        "learner.schedule=cosin (command line): must be one of constant, linear, cosine; "
        "did you mean cosine?",
        "data.path=['a'] (command line): must be text",
    ]


def test_problems_of_every_stage_come_in_one_message(recipe: Path) -> None:
    assert problems(recipe, "num_step=3", "reward=sigmod", "algorithm.group_size=1", "a b") == [
        "'a b' cannot be read; write key=value (token recognition error at: ' ')",
        "reward=sigmod (command line): no such reward; did you mean sigmoid?",
        "num_step=3 (command line): no such key; did you mean num_steps?",
        "algorithm.group_size=1: a group baseline needs at least 2 completions; "
        "set algorithm.group_size>=2",
    ]


def test_impossible_combination_says_what_to_set(recipe: Path) -> None:
    assert problems(recipe, "learner.lora.rank=8", "learner.zero_stage=3") == [
        "learner.lora.rank=8 with learner.zero_stage=3: merged weights are published from whole "
        "matrices; set learner.zero_stage=2 or learner.lora.rank=0"
    ]


def test_missing_model_folder(recipe: Path) -> None:
    assert problems(recipe, "model.path=/nowhere/model") == [
        "model.path=/nowhere/model: there is no such folder; set a folder in Hugging Face format, "
        "or a Hub name"
    ]


def test_longest_prompt_and_response_must_fit_the_context(recipe: Path) -> None:
    fits = ["limit.max_response_tokens=2048", "rollout.max_prompt_tokens=256"]
    assert compose(recipe, fits, CPU).config.limit.max_response_tokens == 2048
    assert problems(recipe, fits[0], "rollout.max_prompt_tokens=257") == [
        "rollout.max_prompt_tokens=257 with limit.max_response_tokens=2048: 2305 tokens do not fit "
        "the model's context of 2304; lower either until they sum to 2304"
    ]


def test_run_folder_in_use(recipe: Path) -> None:
    assert problems(recipe, "run.dir=.") == [
        "run.dir=.: not empty (it holds mine.yaml) and a run never overwrites; set run.dir to a "
        "new folder, or resume=. to continue the run in it"
    ]


def test_sweeps_and_deletions_are_refused(recipe: Path) -> None:
    assert problems(recipe, "seed=1,2", "~gate") == [
        "'seed=1,2': a command line can only set key=value or group=name",
        "'~gate': a command line can only set key=value or group=name",
    ]


def test_section_given_as_a_value(recipe: Path) -> None:
    assert problems(recipe, "limit=3") == [
        "limit=3 (command line): a section, not a value; it has the keys max_response_tokens, "
        "cap_tokens"
    ]


def test_group_that_a_recipe_does_not_choose(recipe: Path) -> None:
    recipe.write_text(RECIPE.replace("  - algorithm: grpo\n", ""), encoding="utf-8")
    assert problems(recipe) == [
        "algorithm: nothing is chosen; add `algorithm: NAME` to the defaults list, with one of "
        "grpo, dr_grpo, rloo, dler, dler_code, gdpo, o1_pruner, o1_pruner_code, ppo, vapo, tppo"
    ]


def test_key_of_another_option_gives_line_key_and_a_recipe_that_works(recipe: Path) -> None:
    text = RECIPE.replace("limit: constant", "limit: palu").replace(
        "limit: {max_response_tokens: 512}", "limit:\n  max_response_tokens: 512\n  pass_rate: 0.8"
    )
    recipe.write_text(text, encoding="utf-8")
    assert compose(recipe, [], CPU).config.limit == PaluConfig(
        max_response_tokens=512, pass_rate=0.8
    )
    with pytest.raises(RecipeError) as caught:
        compose(recipe, ["limit=constant"], CPU)
    assert caught.value.problems == [
        "limit.pass_rate=0.8 (mine.yaml line 18): limit=constant (command line) has no such key; "
        "limit=palu and limit=palu_all have"
    ]
    instead = Path("instead.yaml")
    instead.write_text(caught.value.instead, encoding="utf-8")
    assert caught.value.instead.rstrip() in str(caught.value)
    assert caught.value.instead.startswith("# A method (arXiv:0000.00000).\n")
    expected = compose(Path("mine.yaml"), ["limit=palu"], CPU).config
    config = compose(instead, [], CPU).config
    assert config.limit.max_response_tokens == 512
    assert (config.num_steps, config.reward) == (expected.num_steps, expected.reward)


def test_key_of_an_option_that_does_not_exist_yet_gives_a_recipe_too(recipe: Path) -> None:
    recipe.write_text(
        RECIPE.replace("{max_response_tokens: 512}", "{max_response_tokens: 512, ratchet: 0.8}"),
        encoding="utf-8",
    )
    with pytest.raises(RecipeError) as caught:
        compose(recipe, ["limit=constant"], CPU)
    assert caught.value.problems == [
        "limit.ratchet=0.8 (mine.yaml line 16): limit=constant (command line) has no such key"
    ]
    assert "limit: {max_response_tokens: 512}" in caught.value.instead


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("a: 1\n", "is not a recipe of Laconic: it has no `defaults: [schema, ...]`"),
        ("- 1\n- 2\n", "is not a recipe of Laconic"),
        ("", "is not a recipe of Laconic"),
        ("a: [1\n", "is not valid YAML"),
    ],
)
def test_another_yaml_gets_one_clear_message(recipe: Path, text: str, problem: str) -> None:
    recipe.write_text(text, encoding="utf-8")
    [found] = problems(recipe)
    assert found.startswith("mine.yaml ") and problem in found


def test_missing_recipe() -> None:
    assert problems(Path("/nowhere/x.yaml")) == ["/nowhere/x.yaml: there is no such file"]


def test_laying_values_over_the_schema_gives_what_hydra_gives(recipe: Path) -> None:
    from omegaconf import OmegaConf

    from rl.cli.compose import _without_hydra
    from rl.cli.gather import gather
    from rl.cli.leaves import schema_of
    from rl.cli.recipe import read_recipe

    overrides = ["limit.max_response_tokens=99", "reward.alpha=0.1", "gate=none", "verifier=math"]
    overrides += ["budget=none", "correction=truncated"]
    gathered = gather(read_recipe(recipe), overrides, GROUPS)
    by_hand = _without_hydra(schema_of(gathered.choices, GROUPS), gathered.leaves, GROUPS)
    assert OmegaConf.to_object(by_hand) == compose(recipe, overrides, CPU).config


def test_values_of_a_group_that_the_recipe_does_not_choose_win(recipe: Path) -> None:
    recipe.write_text(RECIPE + "verifier: {workers: 3, timeout_seconds: 9}\n", encoding="utf-8")
    config = compose(recipe, ["verifier.workers=4"], CPU).config
    assert type(config.verifier) is MathConfig
    assert (config.verifier.workers, config.verifier.timeout_seconds) == (4, 9.0)
