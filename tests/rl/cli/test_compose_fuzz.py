"""Whatever stands in a recipe or on the command line: a configuration, or one `RecipeError`.

FUZZ_EXAMPLES=1000 looks longer.
"""

import os
import tempfile
from pathlib import Path

import pytest
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from rl.cli.compose import compose
from rl.cli.leaves import keys_of, schema_of
from rl.cli.machine import Machine
from rl.cli.options import GROUPS
from rl.cli.recipe import RecipeError
from rl.cli.resume import resumed

EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "6"))
CPU = Machine(num_cores=2, num_gpus=0)
GOOD: dict[str, object] = {
    "defaults": [
        "schema",
        {"model": "lab_short"},
        {"data": "lab_short"},
        {"reward": "sigmoid"},
        {"algorithm": "grpo"},
        {"limit": "constant"},
        {"rollout": "vllm"},
        {"learner": "deepspeed"},
        "_self_",
    ],
    "limit": {"max_response_tokens": 512},
    "rollout": {"max_prompt_tokens": 256},
}
KEYS = st.sampled_from([*keys_of(schema_of({}, GROUPS)), *GROUPS, "model", "data", "defaults"])
NAMES = KEYS | st.text(max_size=6) | st.sampled_from(["", ".", "a.", "reward@x", "hydra.run.dir"])
VALUES = st.one_of(
    st.sampled_from(
        ["1", "-1", "1e400", "nan", "null", "true", "[]", "[1,2]", "{}", "{a:1}", "1,2", "???",
         "${seed}", "${nothing}", "${oc.env:HOME}", "${", "range(1,3)", "choice(1)", "'", "\\",
         "grpo", "sigmoid", "../x", "/etc", "0x1F", "9" * 400]
    ),
    st.text(max_size=8),
    st.integers().map(str),
)  # fmt: skip
OVERRIDES = st.lists(
    st.builds(
        lambda sign, key, equals, value: sign + key + equals + value,
        st.sampled_from(["", "", "", "+", "++", "~"]), NAMES, st.sampled_from(["=", "=", "=", ""]),
        VALUES,
    ),
    max_size=3,
)  # fmt: skip
LEAVES = st.none() | st.booleans() | st.integers() | st.floats() | VALUES | st.dates()
TREES = st.recursive(
    LEAVES,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(NAMES | st.integers() | st.none(), inner, max_size=3)
    ),
    max_leaves=6,
)


def outcome(recipe: str | bytes, overrides: list[str]) -> str:
    """What is said, empty when there is a configuration; any other exception is a failure."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "mine.yaml"
        path.write_bytes(recipe if isinstance(recipe, bytes) else recipe.encode())
        try:
            path, overrides = resumed(path, overrides)
            compose(path, overrides, CPU)
        except RecipeError as error:
            assert error.problems
            assert all(problem.strip() for problem in error.problems)
            return str(error)
    return ""


def recipe_text(changes: dict[object, object]) -> str:
    return yaml.safe_dump({**GOOD, **changes}, allow_unicode=True)


def test_the_recipe_that_is_varied_is_a_good_one() -> None:
    assert outcome(recipe_text({}), []) == ""


@given(OVERRIDES)
@example(["resume='\0'"])
@example(["resume=/nowhere"])
@example(["seed=${nothing}"])
@example(["run.dir=\0"])
@example(["model.path=\0"])
@example(["model.path='~nobody-here/x'"])
@example(["model.path=" + "x/" * 3000])
@example(["run.dir=" + "x" * 5000])
@example(["resume=" + "x" * 5000])
@example(["resume=~nobody-here/x"])
@example(["reward=../../x"])
@example(["seed=" + "9" * 5000])
@settings(max_examples=EXAMPLES)
def test_any_command_line_composes_or_is_refused(overrides: list[str]) -> None:
    outcome(recipe_text({}), overrides)


@given(st.dictionaries(KEYS | NAMES | st.integers(), TREES, max_size=2))
@example({"defaults": 3})
@example({"defaults": {"reward": "grpo"}})
@example({"defaults": ["schema", None]})
@example({"defaults": ["schema", {"reward": None}]})
@example({"defaults": ["schema", {"reward": ["a"]}]})
@example({"defaults": ["schema", ["a"]]})
@example({"defaults": ["schema", "mine"]})
@example({"seed": "${seed}"})
@example({"reward": "???"})
@example({None: 1})
@settings(max_examples=EXAMPLES)
def test_any_mapping_composes_or_is_refused(changes: dict[object, object]) -> None:
    outcome(recipe_text(changes), [])


@given(st.text(st.characters(codec="utf-8"), max_size=30) | st.binary(max_size=12))
@example(b"\xff\xfe")
@example("a: &a [*a]")
@example("--- 1\n--- 2")
@example("&a {b: *a}")
@example("{defaults: [schema], ? [1, 2] : 3}")
@example("!!python/object:os.system {}")
@example("defaults: [schema]\nseed: 1\nseed: 2")
@example("[" * 500)
@settings(max_examples=EXAMPLES)
def test_any_text_composes_or_is_refused(text: str | bytes) -> None:
    assert outcome(text, [])


@pytest.mark.parametrize("name", ["folder.yaml", "no\0name.yaml", "x" * 5000 + ".yaml"])
def test_what_is_no_file_is_refused(name: str, tmp_path: Path) -> None:
    (tmp_path / "folder.yaml").mkdir()
    with pytest.raises(RecipeError):
        compose(tmp_path / name, [], CPU)
