"""Tiny models on disk: safetensors with any names, and adapters."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from safetensors.torch import save_file
from torch import Tensor

PLAIN_LORA = {"r": 2, "lora_alpha": 4, "bias": "none", "use_dora": False, "modules_to_save": None}


def model(folder: Path, *shards: Mapping[str, Tensor]) -> Path:
    """A folder with one file, or with shards and their index."""
    folder.mkdir(parents=True)
    (folder / "config.json").write_text("{}")
    if len(shards) == 1:
        save_file(dict(shards[0]), folder / "model.safetensors")
        return folder
    weight_map = {}
    for number, shard in enumerate(shards):
        save_file(dict(shard), folder / f"part-{number}.safetensors")
        weight_map |= dict.fromkeys(shard, f"part-{number}.safetensors")
    index = {"metadata": {}, "weight_map": weight_map}
    (folder / "model.safetensors.index.json").write_text(json.dumps(index))
    return folder


def adapter(folder: Path, factors: Mapping[str, Tensor], **config: Any) -> Path:
    """A LoRA of rank 2 and alpha 4, unless `config` says otherwise."""
    folder.mkdir(parents=True)
    (folder / "adapter_config.json").write_text(json.dumps(PLAIN_LORA | config))
    named = {f"base_model.model.{name}.weight": tensor for name, tensor in factors.items()}
    save_file(named, folder / "adapter_model.safetensors")
    return folder
