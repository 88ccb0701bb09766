from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from tokenizers import Tokenizer, models
from transformers import PreTrainedTokenizerFast, Qwen2Config, Qwen2ForCausalLM

from rl.run.export import check_export


@pytest.fixture
def export(tmp_path: Path) -> Path:
    config = Qwen2Config(
        vocab_size=8,
        hidden_size=8,
        intermediate_size=8,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        tie_word_embeddings=False,
    )
    torch.manual_seed(0)
    Qwen2ForCausalLM(config).save_pretrained(tmp_path)
    tokenizer = Tokenizer(models.WordLevel({"a": 0, "b": 1}, unk_token="a"))
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, chat_template="{{ messages }}"
    ).save_pretrained(tmp_path)
    return tmp_path


def edit(export: Path, change: Any) -> None:
    path = export / "model.safetensors"
    weights = load_file(path)
    change(weights)
    save_file(weights, path, metadata={"format": "pt"})


def test_a_whole_export_loads(export: Path) -> None:
    weights = load_file(export / "model.safetensors")
    assert check_export(export) == sum(weight.numel() for weight in weights.values())


def test_a_missing_weight_is_named(export: Path) -> None:
    edit(export, lambda weights: weights.pop("lm_head.weight"))
    with pytest.raises(ValueError, match=r"missing keys: \['lm_head\.weight'\]"):
        check_export(export)


def test_a_weight_that_is_not_finite_is_named(export: Path) -> None:
    edit(export, lambda weights: weights["model.norm.weight"].fill_(float("nan")))
    with pytest.raises(ValueError, match=r"model\.norm\.weight is not finite"):
        check_export(export)
