"""The sync benchmark on a small model: contenders bring the engine the weights that they say."""

from contextlib import ExitStack
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.bench.sync import NUM_LAYERS, Bench, randomize, run, save_model, start, wide_model


def test_model_has_160_million_parameters() -> None:
    with torch.device("meta"):
        model = wide_model(NUM_LAYERS)
    # A layer: 4 x 768^2 + 3 x 768 x 3072 of matrices, 3 x 768 of biases, 2 x 768 of norms.
    # Outside: embedding and head of 448 x 768, a norm.
    expected = NUM_LAYERS * (9_437_184 + 2_304 + 1_536) + 2 * 344_064 + 768
    assert sum(parameter.numel() for parameter in model.parameters()) == expected == 161_186_304


def test_saved_model_loads_as_it_is_in_memory(tmp_path: Path) -> None:
    model = save_model(tmp_path, num_layers=1)
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    assert all((loaded.get_parameter(name) == p).all() for name, p in model.named_parameters())
    assert (tmp_path / "tokenizer.json").is_file()


@pytest.mark.engine
def test_reload_brings_the_engine_back_and_ours_brings_it_forward(tmp_path: Path) -> None:
    model = save_model(tmp_path, num_layers=1)
    with ExitStack() as stack:
        bench: Bench = start(stack, model, tmp_path)
        assert bench.stale() == []
        randomize(model)
        assert len(bench.stale()) == len(list(model.parameters()))
        assert bench.ours(0) > 0 and bench.stale() == []
        assert bench.memcpy(0) > 0
        assert bench.reload(0) > 0 and bench.stale() != []


@pytest.mark.long
def test_a_small_run_says_what_was_measured() -> None:
    result = run("memcpy", rounds=2, num_layers=1)
    assert result.setting["rounds"] == 2 and result.setting["tensors"] == 15
    assert result.low <= result.ratio <= result.high
    assert len(result.extra["memcpy_seconds"]) == len(result.extra["ours_seconds"]) == 2
