import json
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.config import LoraConfig
from rl.learner import weights
from rl.learner.model import add_lora
from rl.learner.weights import (
    checkpoint_weights,
    whole_weights,
    write_configs,
    write_safetensors,
)


def names(model_path: Path) -> list[str]:
    model = AutoModelForCausalLM.from_pretrained(model_path)
    return [weight.name for weight in checkpoint_weights(model)]


def test_a_tied_head_is_published_once(tiny_model: Path, tiny_tied_model: Path) -> None:
    assert "lm_head.weight" in names(tiny_model)
    assert "lm_head.weight" not in names(tiny_tied_model)
    assert "model.embed_tokens.weight" in names(tiny_tied_model)


def test_buckets_hold_every_tensor_once_and_stay_in_size(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    limit = 3 * 64 * 32 * 4
    found = []
    for bucket in whole_weights(checkpoint_weights(model), limit, partitioned=False):
        assert sum(tensor.nbytes for _, tensor in bucket) <= limit
        found += bucket
    assert {name for name, _ in found} == set(model.state_dict())
    assert all(torch.equal(tensor, model.state_dict()[name]) for name, tensor in found)


def test_a_tensor_beyond_the_limit_is_a_bucket_of_its_own(tiny_model: Path) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    buckets = list(whole_weights(checkpoint_weights(model), 1, partitioned=False))
    assert [len(bucket) for bucket in buckets] == [1] * len(model.state_dict())


def test_adapters_are_folded_into_their_base_which_stays_as_it_was(tiny_model: Path) -> None:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    before = {name: tensor.clone() for name, tensor in model.state_dict().items()}
    adapted = add_lora(model, LoraConfig(rank=2, alpha=6.0))
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            torch.nn.init.normal_(parameter, generator=torch.Generator().manual_seed(0))
    (bucket,) = whole_weights(checkpoint_weights(model), 2**40, partitioned=False)
    published = dict(bucket)
    assert set(published) == set(before)
    layer = model.model.layers[0].self_attn.q_proj
    a, b = layer.lora_A["default"].weight, layer.lora_B["default"].weight
    name = "model.layers.0.self_attn.q_proj.weight"
    torch.testing.assert_close(published[name], before[name] + 6.0 / 2 * b @ a)
    assert torch.equal(layer.base_layer.weight, before[name])
    assert torch.equal(published["lm_head.weight"], before["lm_head.weight"])
    token_ids = torch.arange(10)[None]
    plain = AutoModelForCausalLM.from_pretrained(tiny_model)
    plain.load_state_dict(published)
    # (W + BA)x and Wx + B(Ax) round differently: up to 1.4e-4 over 30 seeds, logits up to 4.
    torch.testing.assert_close(
        plain(token_ids).logits, adapted(token_ids).logits, rtol=0, atol=1e-3
    )


@pytest.mark.parametrize("shard_bytes", [2**40, 20_000])
def test_shards_load_as_the_same_model(
    shard_bytes: int, tiny_tied_model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(weights, "SHARD_BYTES", shard_bytes)
    model = AutoModelForCausalLM.from_pretrained(tiny_tied_model)
    write_safetensors(tmp_path, checkpoint_weights(model), 10_000, partitioned=False, writes=True)
    model.config.save_pretrained(tmp_path)
    index = tmp_path / "model.safetensors.index.json"
    assert index.exists() == (shard_bytes == 20_000)
    if index.exists():
        files = set(json.loads(index.read_text())["weight_map"].values())
        assert files == {path.name for path in tmp_path.glob("*.safetensors")}
        assert len(files) > 1
    loaded = AutoModelForCausalLM.from_pretrained(tmp_path)
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor)


def test_the_tokenizer_does_not_say_how_this_machine_loaded_it(
    tiny_model: Path, tmp_path: Path
) -> None:
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    write_configs(tmp_path, model, str(tiny_model), "main")
    saved = json.loads((tmp_path / "tokenizer_config.json").read_text())
    assert not {"is_local", "local_files_only"} & set(saved)
    assert {path.name for path in tmp_path.iterdir()} >= {"config.json", "generation_config.json"}
