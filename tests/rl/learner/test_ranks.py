"""Commands of a learner group, on one rank and on two."""

import json
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.learner.consolidate import export_checkpoint
from tests.rl.learner.launch import launch
from tests.rl.learner.replay_driver import run_config

pytestmark = pytest.mark.engine


def exercised(model: Path, recording: Path, folder: Path, ranks: int, **options: Any) -> Any:
    done = launch("collective_driver.py", ranks, model, recording, folder, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


@pytest.mark.parametrize(
    ("ranks", "options"),
    [
        (1, {"learner": {"zero_stage": 0}}),
        # Dropout draws from torch's generator on every rank.
        (2, {"learner": {"zero_stage": 2, "lora": {"rank": 4, "dropout": 0.2}}}),
        (2, {"learner": {"zero_stage": 3}}),
        (2, {"learner": {"zero_stage": 1}, "dtype": "bfloat16"}),
        pytest.param(
            2,
            {"learner": {"zero_stage": 2, "offload": "optimizer"}, "dtype": "bfloat16"},
            marks=pytest.mark.long,
        ),
        (2, {"learner": {"zero_stage": 3, "offload": "all"}}),
    ],
)
def test_checkpoint_publication_and_export_agree_with_the_weights(
    ranks: int, options: Any, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    found = exercised(tiny_model, recording, tmp_path, ranks, **options)
    assert found["resumed"] == found["straight"]
    assert found["version"] == 7
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "export")
    assert set(found["published"]) == set(model.state_dict())
    assert found["published"] == pytest.approx(found["fingerprints"], rel=1e-7)
    # Adapters leave embedding, head and five norms alone.
    left_out = 7 if "lora" in options["learner"] else 0
    assert found["num_sent"] == [27, 27 - left_out, 0]
    l2 = sum(value**2 for value in found["published"].values()) ** 0.5
    assert found["resumed"]["weights/l2"] == pytest.approx(l2, rel=1e-7)
    # bfloat16 logits between 4 and 8 are 2^-5 apart. In other batches the chosen one may be a step
    # off, here and there, and the normaliser, which the largest logit dominates, another one.
    tolerance = 1e-5 if "dtype" not in options else 3 * 2**-5
    for (token_ids, prompt_length), ours in zip(found["rows"], found["logprobs"], strict=True):
        with torch.no_grad():
            logits = model(torch.tensor([token_ids])).logits[0].float().log_softmax(-1)
        positions = range(prompt_length - 1, len(token_ids) - 1)
        theirs = [logits[p, token_ids[p + 1]].item() for p in positions]
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=tolerance)
    assert (tmp_path / "export" / "tokenizer.json").exists()
    assert (tmp_path / "export" / "generation_config.json").exists()
    assert_consolidates(tmp_path, tiny_model, options)


def assert_consolidates(folder: Path, model: Path, options: Any) -> None:
    """One process makes of the checkpoint what the ranks exported when they saved it."""
    config, target = run_config(options), folder / "consolidated"
    export_checkpoint(folder / "checkpoint", target, config.model, config.learner.lora, str(model))
    ours, theirs = (
        AutoModelForCausalLM.from_pretrained(folder / name).state_dict()
        for name in ("consolidated", "saved")
    )
    assert ours.keys() == theirs.keys()
    for name, tensor in theirs.items():
        assert ours[name].dtype == tensor.dtype
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=0, msg=name)
    assert (folder / "consolidated" / "tokenizer.json").exists()


def test_a_failing_follower_ends_the_run_with_its_message(
    tiny_model: Path, recording: Path
) -> None:
    start = time.monotonic()
    done = launch("failing_driver.py", 2, tiny_model, recording)
    assert done.returncode != 0
    assert "rank 1 failed in update: this follower has had enough" in done.stderr
    assert time.monotonic() - start < 120
