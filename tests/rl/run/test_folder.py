import asyncio
import json
import os
import re
import time
from pathlib import Path

import pytest

from rl.evaluate.evaluate import evaluate
from rl.evaluate.evaluation import Evaluation
from rl.run.folder import (
    append_metrics,
    create_run_folder,
    newest_run,
    process_start,
    source_commit,
    write_recipe,
    write_summary,
)
from tests.rl.builders import TableEngine, prompt, verify_text


def evaluation(tokens: int) -> Evaluation:
    engine = TableEngine({"a": [(tokens, "4")] * 2, "b": [(tokens, "no")] * 2})
    prompts = [prompt("a", level=1), prompt("b", level=2)]
    return asyncio.run(
        evaluate(engine, prompts, verify_text, name="x", limit=99, samples_per_problem=1)
    )


def test_folder_is_named_after_the_recipe_and_never_reused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    first, second = create_run_folder("", "palu"), create_run_folder("", "palu")
    assert first != second
    assert re.fullmatch(r"palu-\d{8}-\d{6}-[0-9a-f]{4}", first.name)
    assert first.parent == tmp_path / "runs"


def test_a_chosen_folder_must_be_empty(tmp_path: Path) -> None:
    assert create_run_folder(str(tmp_path / "new" / "run"), "palu").is_dir()
    (tmp_path / "used").mkdir()
    (tmp_path / "used" / "summary.json").write_text("{}")
    with pytest.raises(ValueError, match=r"run.dir=.*used: not empty.*summary.json.*resume="):
        create_run_folder(str(tmp_path / "used"), "palu")


def test_a_folder_that_is_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ValueError, match="cannot be made or read"):
        create_run_folder(str(tmp_path / "file"), "palu")


def test_newest_run_of_a_recipe(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="no run of 'palu'"):
        newest_run("palu", tmp_path)
    for age, name in enumerate(["palu-2", "palu-1", "siri-3"]):
        (tmp_path / name).mkdir()
        write_recipe(tmp_path / name, "seed: 0\n")
        os.utime(tmp_path / name / "recipe.yaml", (1000 - age, 1000 - age))
    assert newest_run("palu", tmp_path).name == "palu-2"


def test_metrics_are_one_json_line_per_step(tmp_path: Path) -> None:
    append_metrics(tmp_path, 1, {"reward": 0.1 + 0.2, "num_tokens": 7})
    append_metrics(tmp_path, 2, {"loss": float("nan")})
    rows = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines()]
    assert rows == [{"step": 1, "reward": 0.1 + 0.2, "num_tokens": 7.0}, {"step": 2, "loss": None}]


def test_an_unlisted_metric_is_not_written(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="'rewrd'"):
        append_metrics(tmp_path, 1, {"rewrd": 1.0})
    assert not (tmp_path / "metrics.jsonl").exists()


def test_summary_has_the_promised_keys(tmp_path: Path) -> None:
    written = write_summary(
        tmp_path,
        recipe="quickstart",
        engine="vllm 0.32.0",
        lab_version="1",
        seed=2,
        steps=30,
        wall_s=12.34,
        data={"train": {"rows": 3, "prompts": 2}},
        base=evaluation(8),
        final=evaluation(4),
    )
    summary = json.loads((tmp_path / "summary.json").read_text())
    assert summary == written
    keys = "recipe engine lab_version commit seed steps wall_s base final by_level data"
    assert list(summary) == keys.split()
    assert summary["data"]["train"]["prompts"] == 2
    assert summary["final"] == {
        "accuracy": 0.5,
        "response_tokens": 4.0,
        "accuracy_greedy": 0.5,
        "response_tokens_greedy": 4.0,
    }
    assert summary["by_level"]["base"] == {
        "1": {"accuracy": 1.0, "response_tokens": 8.0},
        "2": {"accuracy": 0.0, "response_tokens": 8.0},
    }
    assert summary["wall_s"] == 12.3


def test_summary_of_a_run_without_evaluation_says_null(tmp_path: Path) -> None:
    summary = write_summary(
        tmp_path,
        recipe="x",
        engine="e",
        lab_version="",
        seed=0,
        steps=1,
        wall_s=1.0,
        data={},
        base=None,
        final=None,
    )
    assert summary["base"] is None
    assert summary["by_level"] == {"base": {}, "final": {}}


def test_process_start_lies_in_the_past() -> None:
    assert process_start() <= time.time()


def test_commit_is_a_hash_or_empty() -> None:
    assert re.fullmatch(r"([0-9a-f]{40}(-dirty)?)?", source_commit())
