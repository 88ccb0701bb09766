import json
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from rl.run.history_check import history_problems

BALANCED = {
    "0/p/0": "trained",
    "0/p/1": "lost_with_engine",
    "0/p/1+1": "lost_with_engine",
    "0/p/1+2": "trained",
    "0/q/0": "grader_failed",
    "0/q/1": "group_too_small",
    "1/p/0": "trained",
    "1/p/1": "trained",
    "1/p/2": "dropped_uniform",
    "1/p/3": "dropped_uniform",
}


def run_folder(folder: Path, fates: list[tuple[str, str]], kept: int = 64) -> Path:
    """A run's files: groups of two, one update per step, batches of what was trained."""
    recipe = {"algorithm": {"group_size": 2}, "log": {"completions_per_step": kept}}
    (folder / "recipe.yaml").write_text(json.dumps(recipe))
    rows = [
        {"id": name, "prompt": name.split("/")[1], "step": int(name[0]), "versions": None,
         "finish": None, "fate": fate}
        for name, fate in fates
    ]  # fmt: skip
    (folder / "history.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    for step in (0, 1):
        batch = [r["id"] for r in rows if r["step"] == step and r["fate"] == "trained"][:kept]
        write_batch(folder, step, batch)
    return folder


def write_batch(folder: Path, step: int, names: list[str]) -> None:
    (folder / "completions").mkdir(exist_ok=True)
    path = folder / "completions" / f"step_{step + 1:05d}.parquet"
    pq.write_table(pa.table({"id": pa.array(names, pa.string())}), path)


@pytest.mark.parametrize("kept", [64, 1])
def test_balanced_books_have_no_problems(tmp_path: Path, kept: int) -> None:
    assert history_problems(run_folder(tmp_path, list(BALANCED.items()), kept)) == []


@pytest.mark.parametrize("name", BALANCED)
def test_every_line_that_is_left_out_is_missed(tmp_path: Path, name: str) -> None:
    fates = [item for item in BALANCED.items() if item[0] != name]
    folder = run_folder(tmp_path, fates)
    write_batch(folder, 0, ["0/p/0", "0/p/1+2"])
    write_batch(folder, 1, ["1/p/0", "1/p/1"])
    assert history_problems(folder)


@pytest.mark.parametrize("name", BALANCED)
def test_every_line_that_is_doubled_is_named(tmp_path: Path, name: str) -> None:
    folder = run_folder(tmp_path, [*BALANCED.items(), (name, "aborted")])
    assert f"{name} has 2 fates" in history_problems(folder)


def test_a_completion_in_a_batch_without_its_fate_is_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, list(BALANCED.items()))
    write_batch(folder, 1, ["1/p/0", "1/p/1", "1/p/2"])
    assert history_problems(folder) == ["1/p/2 is in a batch and not trained"]


def test_a_trained_completion_that_is_in_no_batch_is_counted(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, list(BALANCED.items()))
    write_batch(folder, 0, ["0/p/0"])
    assert history_problems(folder) == ["3 completions in the batches, 4 trained"]


def test_a_completion_that_is_trained_twice_is_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, list(BALANCED.items()))
    write_batch(folder, 1, ["0/p/0", "1/p/0", "1/p/1"])
    assert history_problems(folder) == ["0/p/0 is in 2 batches"]


def test_a_completion_may_be_trained_in_a_later_step_than_it_was_asked_for(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, list(BALANCED.items()))
    write_batch(folder, 0, ["0/p/0", "1/p/0"])
    write_batch(folder, 1, ["0/p/1+2", "1/p/1"])
    assert history_problems(folder) == []


def test_a_request_that_took_the_place_of_nothing_is_named(tmp_path: Path) -> None:
    folder = run_folder(tmp_path, [*BALANCED.items(), ("0/p/0+1", "aborted")])
    assert history_problems(folder) == ["0/p/0+1 was issued although 0/p/0 was not lost"]
