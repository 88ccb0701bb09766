"""TRL's real DPOTrainer on the lab's tiny model, and what is checked before it starts."""

import json
import math
from pathlib import Path

import pyarrow as pa
import pytest
import torch
from safetensors.torch import load_file

from rl.cli.main import main
from rl.offline.adapter import read_adapter
from rl.offline.dpo import DpoSettings, check_tokens, num_cut
from rl.offline.folders import opened, read_weights
from rl.offline.merge import scaled_adapter
from rl.offline.pair_files import IDS, read_pairs
from tests.rl.offline.lab_pairs import LAB, write_lab_pairs

SHORT = str(LAB / "short")


def run(*arguments: object) -> int:
    with pytest.raises(SystemExit) as caught:
        main(["dpo", *map(str, arguments)])
    return int(str(caught.value.code))


def table(*lengths: tuple[int, int, int]) -> pa.Table:
    columns = {name: [[5] * row[i] for row in lengths] for i, name in enumerate(IDS)}
    return pa.table({"prompt": ["x"] * len(lengths), **columns})


def margins(model: str, rows: list[dict[str, list[int]]]) -> list[float]:
    """log p(chosen | prompt) - log p(rejected | prompt), one row at a time by transformers."""
    from transformers import AutoModelForCausalLM

    policy = AutoModelForCausalLM.from_pretrained(model, dtype=torch.float32).eval()

    @torch.no_grad()
    def log_prob(prompt: list[int], completion: list[int]) -> float:
        ids = torch.tensor([prompt + completion])
        log_probs = policy(ids).logits[0, len(prompt) - 1 : -1].log_softmax(-1)
        return float(log_probs.gather(1, torch.tensor(completion)[:, None]).sum())

    return [
        log_prob(r["prompt_ids"], r["chosen_ids"]) - log_prob(r["prompt_ids"], r["rejected_ids"])
        for r in rows
    ]


def test_pairs_are_cut_where_prompt_and_longer_completion_pass_the_limit() -> None:
    assert num_cut(table((3, 2, 5), (3, 5, 2), (3, 5, 5)), 8) == 0
    assert num_cut(table((3, 2, 6), (3, 6, 2), (3, 5, 5)), 8) == 2


def test_settings_that_cannot_be_are_all_named() -> None:
    assert DpoSettings().problems() == []
    assert DpoSettings(beta=0, epochs=-1, lora_rank=-2, micro_batch=0).problems() == [
        "--micro-batch 0: give 1 or more",
        "--lora-rank -2: give 0 or more",
        "--beta 0: give a number above 0",
        "--epochs -1: give a number above 0",
    ]
    assert DpoSettings(batch_size=12, micro_batch=8).problems() == [
        "--batch-size 12: give a multiple of --micro-batch 8"
    ]


def test_pairs_of_another_tokenizer_are_refused(tmp_path: Path) -> None:
    pairs = read_pairs(write_lab_pairs(tmp_path / "pairs.parquet", 2))
    check_tokens(pairs, SHORT)
    first = pairs.column_names.index("prompt")
    other = pairs.set_column(first, "prompt", [["Start", "with"]])
    with pytest.raises(ValueError, match=r"sampled with another tokenizer than that of .*'Start'"):
        check_tokens(other, SHORT)
    foreign = pa.table({"prompt": ["x"], **{name: [[10**6]] for name in IDS}})
    with pytest.raises(ValueError, match="another tokenizer"):
        check_tokens(foreign, SHORT)


def test_everything_that_is_in_the_way_is_said_at_once(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "taken").touch()
    assert run("lab:short", tmp_path / "no.parquet", "--to", tmp_path, "--beta", 0) == 2
    said = capsys.readouterr().err.splitlines()
    assert said[:3] == [
        "laconic dpo: 3 problem(s):",
        "- --beta 0: give a number above 0",
        f"- --to {tmp_path}: not empty, and nothing is overwritten; give a new folder",
    ]
    assert said[3].startswith(f"- {tmp_path / 'no.parquet'} cannot be read")
    assert run("lab:short", "p", "x=1", "--to", tmp_path / "new") == 2
    assert capsys.readouterr().err == "laconic dpo: takes no overrides: x=1\n"


@pytest.mark.engine
def test_training_prefers_the_chosen_and_leaves_a_model(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    pairs, target = write_lab_pairs(tmp_path / "pairs.parquet", 16), tmp_path / "new"
    code = run(
        "lab:short", pairs, "--to", target, "--learning-rate", 3e-4, "--batch-size", 8, "--epochs",
        4, "--max-tokens", 512,
    )  # fmt: skip
    assert code == 0
    note = json.loads((target / "dpo.json").read_text())
    assert (note["num_pairs"], note["num_cut"], note["model"]) == (16, 0, "lab:short")
    losses = [row["loss"] for row in note["log"] if "loss" in row]
    assert len(losses) == 4 * 16 // 8
    assert losses[0] == pytest.approx(math.log(2), abs=1e-5), "the policy starts at the reference"
    assert losses[-1] < losses[0] - 0.1
    rows = read_pairs(pairs).to_pylist()
    before, after = margins(SHORT, rows), margins(str(target), rows)
    assert all(new > old for old, new in zip(before, after, strict=True))
    # What TRL logs last is the margin against the reference, times beta, before the last update.
    gained = sum(after) / 16 - sum(before) / 16
    logged = [row["rewards/margins"] for row in note["log"] if "rewards/margins" in row]
    assert 0.1 * gained == pytest.approx(logged[-1], rel=0.3)
    assert f"{target}: 16 pairs, 0 of them cut at 512 tokens" in capsys.readouterr().out
    assert run("lab:short", pairs, "--to", target) == 2, "nothing is overwritten"


@pytest.mark.engine
def test_an_adapter_is_left_beside_the_model_that_it_is_merged_into(tmp_path: Path) -> None:
    pairs, target = write_lab_pairs(tmp_path / "pairs.parquet", 8), tmp_path / "new"
    code = run(
        "lab:short", pairs, "--to", target, "--learning-rate", 1e-2, "--batch-size", 8,
        "--lora-rank", 4,
    )  # fmt: skip
    assert code == 0
    merged, base = load_file(target / "model.safetensors"), read_weights(LAB / "short")
    adapter = read_adapter(target / "adapter")
    assert adapter.scaling == 2.0
    changed = 0
    with opened(base) as old, opened(adapter.weights) as factor:
        assert merged.keys() == base.files.keys()
        for name, tensor in merged.items():
            expected = old(name)
            if adapter.changes(name):
                down, up = map(factor, adapter.factor_names(name))
                expected = scaled_adapter(expected, down, up, 2.0)
                changed += bool((tensor - old(name)).abs().max() > 1e-5)
            torch.testing.assert_close(tensor, expected)
    assert changed == 3 * 7, "attention and MLP of three layers, not the head"
