"""Sweeps on the lab: what is refused, and that every point is the model that it says it is."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest
import torch

from rl.cli.in_turn import config_for, started
from rl.cli.inputs import read_held_out
from rl.cli.machine import this_machine
from rl.cli.main import main
from rl.cli.model_folder import LAB
from rl.evaluate.results import read_measured, results
from rl.run.judge import evaluate_held_out
from tests.rl.offline.models import adapter

QUICKSTART = Path(__file__).resolve().parents[3] / "recipes" / "quickstart.yaml"
FEW = (
    "evaluation.num_problems=6",
    "evaluation.samples_per_problem=2",
    "evaluation.greedy=false",
    "limit.max_response_tokens=48",
    "verifier.workers=1",
)
IN_PROCESS = ("rollout=transformers", *FEW)
VLLM = ("rollout.kv_cache_gib=0.25", "rollout.num_threads=1", *FEW)


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["merge", "sweep", *map(str, arguments)])
    return int(str(caught.value.code))


def texts(path: Path) -> list[str]:
    return [str(text) for text in pq.read_table(path)["completion"].to_pylist()]


def texts_of(folder: Path, *overrides: str) -> list[str]:
    """What the model in `folder` answers when the engine loads it from its files."""
    config = config_for(QUICKSTART, overrides, folder, this_machine())
    with started(config) as turn:
        work = evaluate_held_out(turn.engine, read_held_out(config), turn.verifier, config, "x")
        found = turn.loop.run(work)
    return [judged.completion.text for judged in [*found.judged, *found.greedy]]


def lora(folder: Path) -> Path:
    module = "model.layers.0.self_attn.q_proj"
    generator = torch.Generator().manual_seed(0)
    factors = {
        f"{module}.lora_A": torch.randn(2, 128, generator=generator),
        f"{module}.lora_B": 0.1 * torch.randn(128, 2, generator=generator),
    }
    return adapter(folder, factors)


def test_everything_that_is_in_the_way_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    code = run(
        "update-selective", "lab:short", "/nowhere", "--values", "0,1", "--keep", 2, "--on",
        QUICKSTART, "--to", tmp_path, "seed=x", "data.eval_path=''",
    )  # fmt: skip
    assert code == 2
    said = capsys.readouterr().err.splitlines()
    assert said[:4] == [
        "laconic merge sweep: 4 problem(s):",
        "- --keep 2.0: give a share above 0 and up to 1",
        f"- --to {tmp_path}: not empty, and nothing is overwritten; give a new folder",
        "- /nowhere: there is no such folder; give a model's folder",
    ]
    assert "seed=x (command line): must be an integer" in said[4]


def test_models_that_do_not_fit_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code = run(
        "linear", "lab:short", "lab:short_tied", "--values", "0", "--on", QUICKSTART, "--to",
        tmp_path / "new", *FEW,
    )  # fmt: skip
    assert code == 2
    assert "lm_head.weight" in capsys.readouterr().err
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("given", ["", "0,,1", "a", "nan", "0,inf"])
def test_values_are_numbers(given: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code = run(
        "linear", "lab:short", "lab:long", "--values", given, "--on", QUICKSTART, "--to",
        tmp_path / "new",
    )  # fmt: skip
    assert code == 2
    assert "argument --values: invalid values value" in capsys.readouterr().err


@pytest.mark.engine
def test_the_ends_of_a_sweep_are_the_two_models_answer_for_answer(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    target = tmp_path / "sweep"
    code = run(
        "linear", "lab:short", "lab:long", "--values", "0,0.5,1", "--on", QUICKSTART, "--to",
        target, *IN_PROCESS,
    )  # fmt: skip
    assert code == 0
    said = capsys.readouterr()
    short = texts_of(LAB / "short", *IN_PROCESS)
    long = texts_of(LAB / "long", *IN_PROCESS)
    assert texts(target / "weight_1" / "completions.parquet") == short
    assert texts(target / "weight_0" / "completions.parquet") == long
    assert texts(target / "weight_0.5" / "completions.parquet") not in (short, long)
    content = json.loads((target / "sweep.json").read_text())
    assert (content["swept"], content["base"], content["other"]) == (
        "weight", "lab:short", "lab:long",
    )  # fmt: skip
    assert [point["value"] for point in content["points"]] == [0, 0.5, 1]
    for point in content["points"]:
        measured = read_measured(target / point["folder"] / "results.json")
        assert results(measured, {}, [48], None)["sampled"] == point["sampled"]
        tokens = point["sampled"]["response_tokens"]["value"]
        assert f"{tokens:.1f} [" in said.out
    assert f"sweep: {target / 'sweep.json'}" in said.out


@pytest.mark.long
@pytest.mark.engine
def test_a_lora_is_swept_in_a_real_vllm(tmp_path: Path) -> None:
    target, folder = tmp_path / "sweep", lora(tmp_path / "lora")
    code = run(
        "lora-scale", "lab:short", folder, "--values=0,-1,3", "--on", QUICKSTART, "--to",
        target, *VLLM,
    )  # fmt: skip
    assert code == 0
    points = {
        point["value"]: texts(target / point["folder"] / "completions.parquet")
        for point in json.loads((target / "sweep.json").read_text())["points"]
    }
    assert points[0] == texts_of(LAB / "short", *VLLM)
    assert len({tuple(found) for found in points.values()}) == 3
