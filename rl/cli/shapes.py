"""The shapes of a model without loading it: from the recipe, or from the files in its folder."""

import json
from dataclasses import dataclass, replace
from math import prod
from pathlib import Path
from typing import Any

from data.config import ModelConfig
from rl.cli.model_folder import model_folder

BYTES = {"float32": 4, "bfloat16": 2}


@dataclass(frozen=True, slots=True, kw_only=True)
class Shapes:
    """What memory depends on."""

    num_parameters: int
    num_layers: int
    hidden_size: int
    intermediate_size: int
    """Width of the feed-forward block."""
    num_kv_heads: int
    head_dim: int
    vocab_size: int
    bytes_per_value: int

    @property
    def kv_bytes_per_token(self) -> int:
        """Keys and values of one token in every layer."""
        return 2 * self.num_layers * self.num_kv_heads * self.head_dim * self.bytes_per_value


def model_shapes(model: ModelConfig) -> Shapes | None:
    """The shapes that the recipe states, completed from the model's folder; None when unknown."""
    shapes = Shapes(
        num_parameters=model.num_parameters,
        num_layers=model.num_layers,
        hidden_size=model.hidden_size,
        intermediate_size=model.intermediate_size,
        num_kv_heads=model.num_kv_heads,
        head_dim=model.head_dim,
        vocab_size=model.vocab_size,
        bytes_per_value=BYTES[model.dtype],
    )
    folder = model_folder(model.path)
    if folder is not None:
        shapes = _completed(shapes, folder)
    sizes = (shapes.num_parameters, shapes.num_layers, shapes.hidden_size, shapes.intermediate_size)
    return shapes if all(sizes) and shapes.num_kv_heads and shapes.head_dim else None


def count_parameters(folder: Path) -> int:
    """Numbers in the safetensors files of `folder`, from their headers; 0 when one is damaged."""
    try:
        headers = [_header(path) for path in folder.glob("*.safetensors")]
        return sum(prod(tensor["shape"]) for header in headers for tensor in header.values())
    except (OSError, ValueError, TypeError, KeyError, AttributeError):
        return 0


def _header(path: Path) -> dict[str, Any]:
    with path.open("rb") as file:
        length = int.from_bytes(file.read(8), "little")
        if length > path.stat().st_size:
            raise ValueError(f"{path} is cut short")
        header: dict[str, Any] = json.loads(file.read(length))
    header.pop("__metadata__", None)
    return header


def _completed(shapes: Shapes, folder: Path) -> Shapes:
    stated = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    heads = int(stated.get("num_attention_heads", 0))
    hidden = shapes.hidden_size or int(stated.get("hidden_size", 0))
    return replace(
        shapes,
        num_parameters=shapes.num_parameters or count_parameters(folder),
        num_layers=shapes.num_layers or int(stated.get("num_hidden_layers", 0)),
        hidden_size=hidden,
        intermediate_size=shapes.intermediate_size or int(stated.get("intermediate_size", 0)),
        num_kv_heads=shapes.num_kv_heads or int(stated.get("num_key_value_heads", heads)),
        head_dim=shapes.head_dim
        or int(stated.get("head_dim") or (hidden // heads if heads else 0)),
        vocab_size=shapes.vocab_size or int(stated.get("vocab_size", 0)),
    )
