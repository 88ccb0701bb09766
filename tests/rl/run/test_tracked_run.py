"""A real short run, tracked offline: what W&B holds is what the run is, and the run is exported.

The run is read with W&B's own reader, `wandb leet inspect`.
"""

import json
import os
import subprocess
import sys
from collections import ChainMap
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
import yaml

from rl.run.metrics import CONDITIONS, HELD_OUT, METRICS, TABLES, condition, matching
from tests.hub_server import running_hub

ROOT = Path(__file__).resolve().parents[3]
BIN = Path(sys.executable).parent
SMALL = [
    "num_steps=3", "prompts_per_step=4", "evaluation.num_problems=8",
    "evaluation.samples_per_problem=2", "evaluation.every_steps=2", "checkpoint.every_steps=2",
    "log.table_every_steps=2", "log.table_rows=5", "log.wandb=offline",
]  # fmt: skip
KEY = "hf_" + "PlantedKey" * 3 + "0123"
PLANTED = {
    "HF_TOKEN": KEY,
    "AWS_SECRET_ACCESS_KEY": "wJalrPlantedSecretAccessKey0123456789abc",
    "WANDB_API_KEY": "deadbeef" * 5,
}

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of three steps, started with keys in its environment."""
    folder = tmp_path_factory.mktemp("runs") / "quickstart"
    recipe = str(ROOT / "recipes" / "quickstart.yaml")
    ended = subprocess.run(
        [str(BIN / "torchrun"), recipe, *SMALL, f"run.dir={folder}"],
        capture_output=True,
        text=True,
        timeout=900,
        env={**os.environ, **PLANTED},
    )
    assert ended.returncode == 0, ended.stdout + ended.stderr
    return folder


@pytest.fixture(scope="module")
def records(finished: Path) -> list[dict[str, Any]]:
    """Every record of the W&B run, as W&B's own reader gives it."""
    (run,) = finished.glob("wandb/offline-run-*/run-*.wandb")
    command = [str(BIN / "wandb"), "leet", "inspect", "--json", str(run)]
    read = subprocess.run(command, capture_output=True, text=True, check=True, timeout=120)
    return [json.loads(line) for line in read.stdout.splitlines()]


@pytest.fixture(scope="module")
def history(records: list[dict[str, Any]]) -> list[dict[str, Any]]:
    return [record["history"]["item"] for record in records if record["type"] == "history"]


def names(items: Sequence[dict[str, Any]]) -> set[str]:
    """Names of metrics and tables; the reader gives a table's fields as `<table>.<field>`."""
    return {name.partition(".")[0] for item in items for name in item if name[0] != "_"}


def metric_rows(finished: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (finished / "metrics.jsonl").read_text().splitlines()]


def test_config_is_the_resolved_recipe_and_the_id_the_one_that_is_kept(
    finished: Path, records: list[dict[str, Any]]
) -> None:
    (run,) = [record["run"] for record in records if record["type"] == "run"]
    config = {key: value for key, value in run["config"]["update"].items() if key != "_wandb"}
    assert config == yaml.safe_load((finished / "recipe.yaml").read_text())
    assert run["run_id"] == (finished / "wandb_id").read_text()


def test_what_is_logged_is_what_is_listed(history: list[dict[str, Any]]) -> None:
    logged = names(history) - set(TABLES)
    listed = {name: matching(name, logged) for name in METRICS}
    unlisted = logged - {each for found in listed.values() for each in found}
    assert not unlisted
    certain = [name for name in METRICS if condition(name) in ("", HELD_OUT)]
    certain += [name for name, when in CONDITIONS.items() if "greedy" in when or "level" in when]
    assert [name for name in certain if not listed[name]] == []


def test_steps_rise_by_one(history: list[dict[str, Any]]) -> None:
    assert [item["_step"] for item in history] == [0, 1, 2, 3]


def test_the_tracker_holds_the_same_numbers_as_the_file(
    finished: Path, history: list[dict[str, Any]]
) -> None:
    rows = metric_rows(finished)
    for item in history:
        of_step = [row for row in rows if row["step"] == item["_step"]]
        file = {name: value for name, value in ChainMap(*of_step).items() if name != "step"}
        tracked = {name: item[name] for name in names([item]) - set(TABLES)}
        assert tracked == pytest.approx(file, rel=1e-12)


def test_tables_are_bounded_and_show_what_parquet_holds(
    finished: Path, history: list[dict[str, Any]]
) -> None:
    steps = {name: [i["_step"] for i in history if f"{name}._type" in i] for name in TABLES}
    assert steps == {"completions": [2], "eval/completions": [0, 2, 3]}
    (run,) = finished.glob("wandb/offline-run-*")
    for name, folder in {"completions": "completions", "eval/completions": "eval"}.items():
        item = history[2]
        table = json.loads((run / "files" / item[f"{name}.path"]).read_text())
        shown = [dict(zip(table["columns"], row, strict=True)) for row in table["data"]]
        assert len(shown) == 5
        held = pq.read_table(finished / folder / "step_00002.parquet").to_pylist()
        by_id = {row["id"]: row for row in held}
        assert all(row == by_id[row["id"]] for row in shown)


def test_no_key_of_the_environment_is_anywhere_in_the_run(
    finished: Path, records: list[dict[str, Any]]
) -> None:
    for path in (path for path in finished.rglob("*") if path.is_file()):
        content = path.read_bytes()
        for name, value in PLANTED.items():
            assert value.encode() not in content, f"{name} in {path}"
    assert not any(value in json.dumps(records) for value in PLANTED.values())


def test_the_run_is_pushed_once_and_its_checkpoint_exports_the_same_weights(
    finished: Path,
) -> None:
    with running_hub(**{KEY: ("ada",)}) as hub:
        environment = {
            **os.environ, "HF_TOKEN": KEY, "HF_ENDPOINT": hub.url, "HF_HUB_DISABLE_XET": "1",
            "HF_HUB_OFFLINE": "0",
        }  # fmt: skip
        said = []
        for more in ([], ["--step", "3"]):
            command = [str(BIN / "laconic"), "export", str(finished), "--push", "ada/m", *more]
            ended = subprocess.run(
                command, capture_output=True, text=True, timeout=300, env=environment
            )
            assert ended.returncode == 0, ended.stderr
            said.append(ended.stdout)
    # The checkpoint of the last step is the final model, so its export is no other commit.
    assert "in one commit" in said[0] and "nothing was committed" in said[1]
    files = hub.repositories["ada/m"].files
    assert len(hub.repositories["ada/m"].commits) == 2
    assert {"model.safetensors", "chat_template.jinja", "tokenizer.json", "config.json"} < {*files}
    assert {"generation_config.json", "README.md", "recipe.yaml"} < {*files}
    for folder in ("export", "export_step_3"):
        ours = {path.name: path.read_bytes() for path in (finished / folder).iterdir()}
        assert {name: files[name] for name in ours} == ours
