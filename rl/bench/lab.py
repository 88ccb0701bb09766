"""The lab as benchmarks take it: its models, and prompts templated for them."""

import json
import shutil
from pathlib import Path

from data.config import DataConfig
from data.loading import load_prompts
from data.types import Prompt

ROOT = Path(__file__).resolve().parents[2]
FIRST_LAYER = "model.layers.0."


def lab_model(lab: str) -> Path:
    """The folder of the lab's checkpoint: `short`, `long`, or their tied variants."""
    return ROOT / "data" / "lab" / lab


def lab_prompts(lab: str, count: int, max_prompt_tokens: int) -> list[Prompt]:
    """The first training problems of a lab, templated for its model."""
    from transformers import AutoTokenizer

    tokenizer = AutoTokenizer.from_pretrained(lab_model(lab))
    return load_prompts(DataConfig(path=f"lab:{lab}"), tokenizer, max_prompt_tokens)[:count]


def deepened(model: Path, target: Path, num_layers: int) -> Path:
    """`model` with layers behind its own that add 0 to what they are given, `num_layers` in all.

    Their output projections are zero, so that logits stay what they were and only the cost grows.
    """
    from safetensors.torch import load_file, save_file

    shutil.copytree(model, target)
    config = json.loads((model / "config.json").read_text())
    weights = load_file(model / "model.safetensors")
    first = {name: value for name, value in weights.items() if name.startswith(FIRST_LAYER)}
    for layer in range(config["num_hidden_layers"], num_layers):
        for name, value in first.items():
            is_output = name.endswith(("o_proj.weight", "down_proj.weight"))
            copied = value.new_zeros(value.shape) if is_output else value.clone()
            weights[name.replace(FIRST_LAYER, f"model.layers.{layer}.")] = copied
    config["num_hidden_layers"] = num_layers
    config["layer_types"] = config["layer_types"][:1] * num_layers
    (target / "config.json").write_text(json.dumps(config))
    save_file(weights, target / "model.safetensors", metadata={"format": "pt"})
    return target
