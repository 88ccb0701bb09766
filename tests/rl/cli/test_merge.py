"""On the lab's own checkpoints, without an engine."""

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from rl.cli.main import main
from tests.rl.offline.models import adapter, model

LAB = Path(__file__).resolve().parents[3] / "data" / "lab"


def run(capsys: pytest.CaptureFixture[str], *arguments: object) -> tuple[int, str, str]:
    with pytest.raises(SystemExit) as caught:
        main(["merge", *map(str, arguments)])
    output = capsys.readouterr()
    return int(str(caught.value.code)), output.out, output.err


def lab(name: str) -> dict[str, torch.Tensor]:
    return load_file(LAB / name / "model.safetensors")


@pytest.fixture(scope="module")
def two() -> tuple[dict[str, torch.Tensor], dict[str, torch.Tensor]]:
    return lab("short"), lab("long")


def test_a_linear_merge_of_the_lab_loads_and_is_the_weighted_mean(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], two
) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "merged"
    code, said, _ = run(capsys, "linear", "lab:long", "lab:short", "--to", target)
    assert (code, said) == (0, f"{target}: linear, 608,256 parameters\n")
    short, long = two
    merged = load_file(target / "model.safetensors")
    assert merged.keys() == long.keys()
    for name, tensor in merged.items():
        torch.testing.assert_close(tensor, 0.8 * long[name] + 0.2 * short[name])
    assert (target / "tokenizer.json").read_bytes() == (LAB / "long/tokenizer.json").read_bytes()
    assert json.loads((target / "merge.json").read_text()) == {
        "method": "linear", "base": "lab:long", "other": "lab:short", "weight": 0.8,
    }  # fmt: skip


@pytest.mark.parametrize("over", ["tensor", "model"])
def test_a_selective_merge_of_the_lab_keeps_a_quarter_of_the_update(
    over: str, tmp_path: Path, capsys: pytest.CaptureFixture[str], two
) -> None:  # type: ignore[no-untyped-def]
    target = tmp_path / "merged"
    code, _, error = run(
        capsys, "update-selective", "lab:short", "lab:long", "--to", target, "--over", over
    )
    assert (code, error) == (0, "")
    short, long = two
    merged = load_file(target / "model.safetensors")
    changed = {name: merged[name] != short[name] for name in merged}
    for name, tensor in merged.items():
        expected = short[name] + 0.7 * (long[name] - short[name])
        torch.testing.assert_close(tensor[changed[name]], expected[changed[name]])
    total = sum(tensor.numel() for tensor in merged.values())
    assert sum(int(c.sum()) for c in changed.values()) == pytest.approx(total / 4, rel=1e-3)
    shares = {name: float(c.float().mean()) for name, c in changed.items() if c.numel() > 1000}
    assert (max(shares.values()) - min(shares.values()) < 0.001) == (over == "tensor")


def test_a_scaled_merge_of_the_lab_goes_from_one_model_to_the_other(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], two
) -> None:  # type: ignore[no-untyped-def]
    for scale in (0.0, 1.0):
        target = tmp_path / str(scale)
        code, _, error = run(
            capsys, "scale", "lab:short", "lab:long", "--to", target, "--scale", scale
        )
        assert (code, error) == (0, "")
        for name, tensor in load_file(target / "model.safetensors").items():
            torch.testing.assert_close(tensor, two[int(scale)][name])


def test_an_adapter_is_scaled_into_the_weights_that_it_changes(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], two
) -> None:  # type: ignore[no-untyped-def]
    module = "model.layers.0.self_attn.q_proj"
    down, up = torch.randn(2, 128), torch.randn(128, 2)
    lora = adapter(tmp_path / "lora", {f"{module}.lora_A": down, f"{module}.lora_B": up})
    target = tmp_path / "merged"
    code, _, error = run(capsys, "lora-scale", "lab:short", lora, "--to", target, "--scale", 0.5)
    assert (code, error) == (0, "")
    for name, tensor in load_file(target / "model.safetensors").items():
        update = 0.5 * (4 / 2) * up @ down if name == f"{module}.weight" else 0.0
        torch.testing.assert_close(tensor, two[0][name] + update)


def test_a_runs_folder_stands_for_its_export(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "run" / "export").mkdir(parents=True)
    (tmp_path / "run" / "recipe.yaml").touch()
    for path in (LAB / "short").iterdir():
        (tmp_path / "run" / "export" / path.name).write_bytes(path.read_bytes())
    code, _, error = run(
        capsys, "linear", tmp_path / "run", "lab:short", "--to", tmp_path / "merged"
    )
    assert (code, error) == (0, "")


def test_everything_that_is_in_the_way_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    one = model(tmp_path / "one", {"a": torch.ones(2)})
    two = model(tmp_path / "two", {"a": torch.ones(3), "b": torch.ones(1)})
    code, _, error = run(
        capsys, "update-selective", one, two, "--to", one, "--keep", 0, "--scale", "nan"
    )
    assert code == 1
    assert error.splitlines() == [
        "laconic merge: 5 problem(s):",
        "- --keep 0.0: give a share above 0 and up to 1",
        "- --scale nan: give a number",
        f"- --to {one}: not empty, and nothing is overwritten; give a new folder",
        f"- {two} has weights that {one} lacks: b",
        f"- {one} and {two} have other shapes: a [2] and [3]",
    ]
    code, _, error = run(capsys, "linear", "/nowhere/a", "/nowhere/b", "--to", tmp_path / "new")
    assert code == 1
    assert error.splitlines() == [
        "laconic merge: 2 problem(s):",
        "- /nowhere/a: there is no such folder; give a model's folder",
        "- /nowhere/b: there is no such folder; give a model's folder",
    ]
    assert not (tmp_path / "new").exists()


def test_a_tied_and_an_untied_model_are_not_merged(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, _, error = run(capsys, "linear", "lab:short", "lab:short_tied", "--to", tmp_path / "new")
    assert code == 1
    assert "lm_head.weight" in error and len(error.splitlines()) == 2


def test_overrides_are_refused(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    code, _, error = run(capsys, "linear", "a", "b", "weight=0.5", "--to", tmp_path / "new")
    assert (code, error) == (1, "laconic merge: takes no overrides: weight=0.5\n")
