"""The README's folder of a user's own parts, literally: two processes, real vLLM, ZeRO-2."""

import json
import os
import re
import subprocess
import sys
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.run.history_check import history_problems

README = (Path(__file__).resolve().parents[3] / "README.md").read_text(encoding="utf-8")
SECTION = re.compile(r"^## Your own parts\n(.*?)^## ", re.MULTILINE | re.DOTALL)
FILE = re.compile(r"`mine/([^`]+)`:\n\n```\w+\n(.*?)```\n", re.DOTALL)
OPERATIONS = {"9": 1, "2": 2, "6": 3, "1": 3}
"""Of the four problems to train on, by their answers."""


@pytest.fixture
def mine(tmp_path: Path) -> Path:
    """The folder as the README shows it, outside the repository."""
    [section] = SECTION.findall(README)
    files = dict(FILE.findall(section))
    assert set(files) == {"my_parts.py", "data/problems.jsonl", "mine.yaml"}
    (tmp_path / "mine" / "data").mkdir(parents=True)
    for name, content in files.items():
        (tmp_path / "mine" / name).write_text(content, encoding="utf-8")
    return tmp_path / "mine"


def test_the_recipe_of_the_readme_resolves_from_anywhere(mine: Path) -> None:
    config = compose(mine / "mine.yaml", [], Machine(num_cores=2, num_gpus=0)).config
    assert (config.data.path, config.data.target) == ("custom", "my_parts.problems")


@pytest.mark.engine
@pytest.mark.long
def test_parts_of_ones_own_train_on_two_processes(mine: Path) -> None:
    options = ("rollout.kv_cache_gib=0.25", "log.wandb=off", "log.progress=false", "run.dir=out")
    launched = train(mine, *options)
    assert launched.returncode == 0, (launched.stdout + launched.stderr)[-4000:]
    run = mine / "out"
    summary = json.loads((run / "summary.json").read_text())
    assert summary["steps"] == 2
    assert [summary["data"][split]["rows"] for split in ("train", "eval")] == [4, 1]
    layout = json.loads(next(run.glob("checkpoints/*/learner/learner.json")).read_text())["layout"]
    assert layout["ranks"] == 2
    assert history_problems(run) == []
    for step in (1, 2):
        rows = pq.read_table(run / "completions" / f"step_{step:05d}.parquet").to_pylist()
        check(rows, step)


def train(folder: Path, *options: str) -> "subprocess.CompletedProcess[str]":
    """The second line of the recipe, in its folder, which is on nobody's path."""
    [command] = re.findall(r"^# Run: (.+)$", (folder / "mine.yaml").read_text(), re.MULTILINE)
    torchrun, *arguments = command.split()
    assert torchrun == "torchrun"
    assert str(folder) not in os.environ.get("PYTHONPATH", "")
    return subprocess.run(
        [str(Path(sys.executable).with_name("torchrun")), *arguments, *options],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=900,
    )


def check(rows: list[dict[str, Any]], step: int) -> None:
    """Limits, rewards and the gate of one update are those of the README's functions."""
    assert len(rows) == 32
    groups: dict[str, list[dict[str, Any]]] = {}
    for row in rows:
        groups.setdefault(row["prompt_id"], []).append(row)
        assert row["limit"] == 40 * OPERATIONS[row["answer"]] - 5 * (step - 1)
    assert len(groups) == 4
    for group in groups.values():
        paid = 2 * sum(row["correct"] for row in group) >= len(group)
        for row in group:
            length = -0.5 * row["tokens"] / row["limit"] if paid and row["correct"] else 0.0
            assert row["parts/length"] == pytest.approx(length)
            assert row["reward"] == pytest.approx(row["correct"] + length)
