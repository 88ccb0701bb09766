"""A path in a recipe is relative to the recipe, one on the command line to the current folder."""

from pathlib import Path

import pytest
import yaml

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.config import RunConfig

CPU = Machine(num_cores=2, num_gpus=0)
RECIPE = """\
# Run: torchrun mine.yaml
defaults: [schema, model: lab_short, {data}reward: correct, algorithm: grpo, limit: constant,
  rollout: vllm, learner: deepspeed, _self_]
limit: {{max_response_tokens: 512}}
rollout: {{max_prompt_tokens: 256}}
{rest}
"""


@pytest.fixture
def mine(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A user's folder with rows in `data/`; the current folder is another."""
    for folder in ("mine/data", "mine/held_out", "here/held_out"):
        (tmp_path / folder).mkdir(parents=True)
    (tmp_path / "mine" / "data" / "rows.jsonl").touch()
    monkeypatch.chdir(tmp_path / "here")
    return tmp_path / "mine"


def composed(mine: Path, *overrides: str, data: str = "", rest: str = "") -> RunConfig:
    recipe = mine / "mine.yaml"
    recipe.write_text(RECIPE.format(data=data, rest=rest))
    return compose(recipe, overrides, CPU).config


def test_a_file_in_a_recipe_lies_beside_the_recipe(mine: Path) -> None:
    config = composed(mine, rest="data: {path: data/rows.jsonl, eval_path: held_out}")
    assert config.data.path == str(mine / "data" / "rows.jsonl")
    assert config.data.eval_path == str(mine / "held_out")


def test_a_file_in_a_choice_of_data_lies_beside_that_choice(mine: Path) -> None:
    (mine / "data" / "rows.yaml").write_text("path: rows.jsonl\n")
    config = composed(mine, data="data: rows, ")
    assert config.data.path == str(mine / "data" / "rows.jsonl")


def test_on_the_command_line_it_lies_in_the_current_folder(mine: Path, tmp_path: Path) -> None:
    paths = ("data.path=rows.jsonl", "data.eval_path=held_out")
    config = composed(mine, *paths, rest="data: {path: data/rows.jsonl}")
    assert config.data.path == str(tmp_path / "here" / "rows.jsonl")
    assert config.data.eval_path == str(tmp_path / "here" / "held_out")


@pytest.mark.parametrize(
    "name", ["someone/a-dataset", "a-dataset", "lab:long", "custom", "~/rows.jsonl", "/rows.jsonl"]
)
def test_names_and_absolute_paths_stay(mine: Path, name: str) -> None:
    (mine / "custom").mkdir()
    rest = f"data: {{path: '{name}', eval_path: custom, target: my_rows.table}}"
    assert composed(mine, rest=rest).data.path == name


def test_a_run_resolves_to_the_same_files_from_its_own_folder(mine: Path, tmp_path: Path) -> None:
    recipe = mine / "mine.yaml"
    recipe.write_text(RECIPE.format(data="", rest="data: {path: data/rows.jsonl}"))
    saved = tmp_path / "run" / "recipe.yaml"
    saved.parent.mkdir()
    first = compose(recipe, ["data.eval_path=held_out"], CPU)
    saved.write_text(first.text)
    again = compose(saved, [], CPU)
    assert again.config == first.config
    assert yaml.safe_load(again.text)["data"]["eval_path"] == str(tmp_path / "here" / "held_out")
