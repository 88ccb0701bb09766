"""Shapes come from the recipe, else from the files of the model's folder."""

import json
import struct
from pathlib import Path

import pytest

from data.config import ModelConfig
from rl.cli.shapes import Shapes, count_parameters, model_shapes


def write_safetensors(path: Path, shapes: dict[str, list[int]]) -> None:
    """A file's header; the numbers themselves are never read."""
    header = {
        name: {"dtype": "F32", "shape": shape, "data_offsets": [0, 0]}
        for name, shape in shapes.items()
    }
    text = json.dumps({"__metadata__": {"format": "pt"}, **header}).encode()
    path.write_bytes(struct.pack("<Q", len(text)) + text)


def test_parameters_are_counted_over_all_files(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "a.safetensors", {"x": [2, 3], "y": [4]})
    write_safetensors(tmp_path / "b.safetensors", {"z": [5]})
    assert count_parameters(tmp_path) == 2 * 3 + 4 + 5


@pytest.mark.parametrize("content", [b"", b"\xff" * 8, b"\x02" + b"\0" * 7 + b"[]", b"\0" * 20])
def test_nothing_is_known_of_a_damaged_file(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "a.safetensors").write_bytes(content)
    assert count_parameters(tmp_path) == 0


def test_folder_completes_what_the_recipe_leaves_out(tmp_path: Path) -> None:
    write_safetensors(tmp_path / "model.safetensors", {"x": [100]})
    stated = {
        "num_hidden_layers": 2,
        "hidden_size": 12,
        "intermediate_size": 30,
        "num_attention_heads": 3,
        "num_key_value_heads": 1,
        "vocab_size": 50,
    }
    (tmp_path / "config.json").write_text(json.dumps(stated), encoding="utf-8")
    config = ModelConfig(path=str(tmp_path), dtype="bfloat16", num_layers=5)
    assert model_shapes(config) == Shapes(
        num_parameters=100,
        num_layers=5,
        hidden_size=12,
        intermediate_size=30,
        num_kv_heads=1,
        head_dim=4,
        vocab_size=50,
        bytes_per_value=2,
    )


def test_hub_model_without_stated_shapes_is_unknown() -> None:
    assert model_shapes(ModelConfig(path="organisation/model")) is None
