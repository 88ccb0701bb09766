"""`laconic eval`: what it refuses before anything heavy starts, and one evaluation for real."""

import json
import subprocess
import sys
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from rl.cli.evaluate import check_shared, checked, settings_of
from rl.cli.machine import Machine
from rl.cli.recipe import RecipeError
from rl.evaluate.results import Measured, results, write_results
from tests.rl.builders import prompt
from tests.rl.evaluate.recompute import differences, recompute
from tests.rl.evaluate.samples import random_table, stored

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
MACHINE = Machine(num_cores=2, num_gpus=0)


def refusals(*overrides: str, model: str = "", base: str = "") -> list[str]:
    with pytest.raises(RecipeError) as caught:
        checked(QUICKSTART, overrides, model, base, MACHINE)
    return caught.value.problems


def test_all_problems_of_model_and_base_are_said_at_once(tmp_path: Path) -> None:
    problems = refusals("seed=x", model="lab:shrt", base=str(tmp_path / "no.json"))
    assert [problem.split(":")[0] for problem in problems] == [
        "seed=x (command line)",
        "model.path=lab",
        "--base",
    ]


def test_a_problem_of_both_models_is_said_once() -> None:
    assert refusals("seed=x", base="lab:short_tied") == [
        "seed=x (command line): must be an integer"
    ]


def test_without_held_out_problems_there_is_nothing_to_evaluate() -> None:
    assert refusals("data.eval_path=''") == [
        "data.eval_path is empty: there are no held-out problems; set data.eval_path"
    ]


def test_caps_beyond_the_limit_are_refused() -> None:
    empty, beyond = refusals("evaluation.caps=[0,1024]")
    assert empty == "evaluation.caps=[0, 1024]: set caps of 1 token or more"
    assert beyond.startswith("evaluation.caps=[0, 1024]: completions end at limit.")


def test_a_folder_in_use_is_refused(tmp_path: Path) -> None:
    (tmp_path / "results.json").write_text("{}")
    [problem] = refusals(f"run.dir={tmp_path}")
    assert "not empty (it holds results.json) and a run never overwrites" in problem


def test_the_command_line_wins_over_the_model_that_is_named() -> None:
    candidate, base = checked(QUICKSTART, ["model.revision=v2"], "lab:short_tied", "", MACHINE)
    assert (candidate.config.model.revision, candidate.name) == ("v2", "lab:short_tied")
    assert base is None


def test_earlier_results_are_a_base(tmp_path: Path) -> None:
    measured = stored(tmp_path, random_table(1, 4), "before")
    write_results(tmp_path, results(measured, {}, [4], None))
    _, base = checked(QUICKSTART, [], "", str(tmp_path), MACHINE)
    assert isinstance(base, Measured)
    assert base.model == "before"


def test_a_base_of_other_problems_is_refused(tmp_path: Path) -> None:
    measured = stored(tmp_path, random_table(1, 4), "before")
    check_shared([prompt("p3"), prompt("x")], measured)
    with pytest.raises(ValueError, match=r"before was measured on table, which shares no problem"):
        check_shared([prompt("x")], measured)


def test_settings_name_what_must_be_alike() -> None:
    candidate, _ = checked(QUICKSTART, ["evaluation.temperature=0.6"], "", "", MACHINE)
    assert settings_of(candidate.config, 7) == {
        "data": "lab:short",
        "split": "test",
        "budget": "none",
        "num_problems": 7,
        "samples_per_problem": 4,
        "temperature": 0.6,
        "top_p": 1.0,
        "max_response_tokens": 512,
    }


@pytest.mark.long
@pytest.mark.engine
def test_a_model_and_its_base_are_evaluated_on_the_lab(tmp_path: Path) -> None:
    """Two real engines, one after the other; every figure recomputed from what they wrote."""
    folder = tmp_path / "out"
    command = [Path(sys.executable).with_name("laconic"), "eval", QUICKSTART, "--model",
               "lab:short", "--base", "lab:short_tied", "evaluation.num_problems=16",
               "evaluation.samples_per_problem=2", "evaluation.caps=[24,64]", f"run.dir={folder}",
               "rollout.kv_cache_gib=0.25"]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=500, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-4000:]
    kept = json.loads((folder / "results.json").read_text())
    assert kept["engine"].startswith("vllm ")
    assert (kept["model"], kept["base"]["model"]) == ("lab:short", "lab:short_tied")
    assert pq.read_metadata(folder / "completions.parquet").num_rows == 16 * (2 + 1)
    assert differences(recompute(folder, folder / "base", kept), kept) == []
    before = json.loads((folder / "base" / "results.json").read_text())
    assert before["sampled"] == kept["base"]["sampled"]["base"]
    assert kept["greedy"]["accuracy"]["value"] > 0.8
    assert f"results: {folder / 'results.json'}" in done.stdout
    assert "AES weights 1/3/5" in done.stdout


@pytest.mark.long
@pytest.mark.engine
def test_votes_and_a_curve_over_efforts_are_measured_on_the_lab(tmp_path: Path) -> None:
    """One real engine; the problems are the same at every effort, and so are the samples' seeds."""
    folder = tmp_path / "out"
    command = [Path(sys.executable).with_name("laconic"), "eval", ROOT / "recipes/lab/effort.yaml",
               "--decode", "majority@4,short-3@4,first-finish@2", "--efforts", "0.25,0.30,1",
               "evaluation.num_problems=16", "evaluation.samples_per_problem=4",
               f"run.dir={folder}", "rollout.kv_cache_gib=0.25"]  # fmt: skip
    done = subprocess.run(
        list(map(str, command)), capture_output=True, text=True, timeout=500, cwd=ROOT
    )
    assert done.returncode == 0, done.stderr[-4000:]
    kept = json.loads((folder / "results.json").read_text())
    assert differences(recompute(folder, None, kept), kept) == []
    rules = {row["rule"]: row for row in kept["decoding"]}
    assert list(rules) == ["mean@1", "majority@4", "short-3@4", "short-1@2"]
    assert rules["short-1@2"]["subsets"] == 6
    depths = [rules[name]["depth_tokens"]["value"] for name in ("short-3@4", "majority@4")]
    assert depths == sorted(depths)
    assert sum(band["num_problems"] for band in kept["instructed"]) == 2 * 16
    [curve] = kept["curves"]
    assert [(at["amount"], at["trained"]) for at in curve["points"]] == [
        (25, True), (30, False), (100, True),
    ]  # fmt: skip
    files = [pq.read_table(folder / "curves" / f"effort_{n}.parquet") for n in (25, 30, 100)]
    assert all(file.num_rows == 16 * 4 for file in files)
    assert len({tuple(file["prompt_id"].to_pylist()) for file in files}) == 1
    assert {*files[1]["budget"].to_pylist()} == {30}
    assert "short-3@4" in done.stdout
    assert "30 (never trained)" in done.stdout
