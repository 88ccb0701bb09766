"""Rows that a function of the user's returns are a dataset like any other."""

import sys
import textwrap
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from data.budgets import NoBudgetConfig
from data.config import DataConfig, ModelConfig
from data.rows import load_rows
from rl.cli.inputs import read_inputs
from rl.cli.own_rows import rows_of
from rl.config import RunConfig
from rollout.config import VllmConfig

MODULE = """
QUESTION = "Start with {} and work modulo 10: s*3. What is the result?"

def table(split):
    first = {"train": 0, "test": 5}[split]
    return [
        {"prompt": QUESTION.format(n), "answer": str(3 * n % 10), "source": "times three"}
        for n in range(first, first + 4)
    ]

def one_by_one(split):
    yield from table(split)

def broken_halfway(split):
    yield from table(split)
    raise OSError("the disk is gone")

def multiples(factor):
    return lambda split: [{"prompt": f"{factor} times {n}?", "answer": n} for n in range(3)]

def nothing(split):
    return None

def text(split):
    return ["a question"]

def numbered(split):
    return [{0: "a question", 1: "an answer"}]

def other_columns(split):
    return [{"text": "a question", "solution": "an answer"}]
"""


@pytest.fixture(autouse=True)
def beside_the_recipe(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    (tmp_path / "my_rows.py").write_text(textwrap.dedent(MODULE))
    monkeypatch.syspath_prepend(str(tmp_path))
    yield
    sys.modules.pop("my_rows", None)


def own(name: str, **options: Any) -> DataConfig:
    return DataConfig(path="custom", target=f"my_rows.{name}", **options)


@pytest.mark.parametrize("name", ["table", "one_by_one"])
def test_rows_become_prompts_to_train_on_and_held_out_ones(name: str) -> None:
    run = RunConfig(
        model=ModelConfig(path="lab:short", dtype="float32"),
        data=own(name, eval_path="custom"),
        budget=NoBudgetConfig(),
        rollout=VllmConfig(max_prompt_tokens=64),
    )
    inputs = read_inputs(run)
    assert [prompt.answer for prompt in inputs.training] == ["0", "3", "6", "9"]
    assert [prompt.answer for prompt in inputs.held_out] == ["5", "8", "1", "4"]
    assert {prompt.source for prompt in inputs.training} == {"times three"}
    assert inputs.data_counts["train"]["rows"] == 4


def test_args_make_a_function_a_factory() -> None:
    rows = rows_of(own("multiples", args={"factor": 7}), "custom", "train")
    assert rows[2] == {"prompt": "7 times 2?", "answer": 2}


def test_other_paths_are_read_as_ever() -> None:
    mixed = own("table", eval_path="lab:short")
    assert rows_of(mixed, "lab:short", "test") == load_rows("lab:short", "test")


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("missing", r"data\.target=my_rows\.missing: cannot be imported"),
        ("QUESTION", r"data\.target=my_rows\.QUESTION: is a str; name a function\(split\)"),
        ("nothing", r"returned None; return rows, each a dict such as"),
        ("text", r"row 1 is 'a question'; return a dict such as"),
        ("numbered", r"row 1 is \{0: 'a question', .*; return a dict such as"),
        ("broken_halfway", r"raised OSError: the disk is gone for split 'train'"),
    ],
)
def test_what_returns_no_rows_is_refused_by_name(name: str, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        rows_of(own(name), "custom", "train")


def test_a_split_that_the_function_does_not_know_is_named() -> None:
    with pytest.raises(ValueError, match=r"raised KeyError: 'dev' for split 'dev'"):
        rows_of(own("table"), "custom", "dev")


def test_target_and_path_go_together() -> None:
    assert own("table").problems() == []
    assert DataConfig(path="lab:short", eval_path="custom", target="my_rows.table").problems() == []
    [missing] = DataConfig(path="custom").problems()
    assert missing == (
        "data.target='': rows of your own come from a dotted path; set data.target=module.name"
    )
    [unused] = DataConfig(path="lab:short", target="my_rows.table").problems()
    assert "the function is not used; set data.path=custom" in unused
