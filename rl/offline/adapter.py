"""A LoRA adapter in peft's format: which weights it changes, and by what."""

import json
from dataclasses import dataclass
from math import sqrt
from pathlib import Path

from rl.offline.folders import Weights, listed, read_weights

CONFIG = "adapter_config.json"
PREFIX, DOWN, UP = "base_model.model.", ".lora_A.weight", ".lora_B.weight"
PLAIN = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "modules_to_save": None,
    "rank_pattern": {},
    "alpha_pattern": {},
}
"""Settings under which the update of every weight is alpha / r B A, and nothing else changes."""


@dataclass(frozen=True, slots=True)
class Adapter:
    """`scaling` is alpha / r, or alpha / sqrt(r) for rsLoRA."""

    weights: Weights
    scaling: float

    def changes(self, name: str) -> bool:
        return self.factor_names(name)[0] in self.weights.files

    def factor_names(self, name: str) -> tuple[str, str]:
        """A and B of the update of the model's weight `name`."""
        module = PREFIX + name.removesuffix(".weight")
        return module + DOWN, module + UP


def read_adapter(folder: Path) -> Adapter:
    """Raises ValueError when files are missing or the adapter is no plain LoRA."""
    weights = read_weights(folder, whole="adapter_model.safetensors", index="")
    try:
        config = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
        rank, alpha = int(config["r"]), float(config["lora_alpha"])
        other = [key for key, plain in PLAIN.items() if (config.get(key) or plain) != plain]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise ValueError(f"{folder / CONFIG} cannot be read ({error!r})") from error
    if other or rank < 1:
        raise ValueError(
            f"{folder / CONFIG}: {listed(other) or 'r'} is not that of a plain LoRA; merge the "
            "adapter into its model first, and give that folder"
        )
    return Adapter(weights, alpha / (sqrt(rank) if config.get("use_rslora") else rank))


def adapter_problems(base: Weights, adapter: Adapter) -> list[str]:
    """Factors that belong to no weight of `base`, lack their partner, or do not fit it."""
    shapes = adapter.weights.shapes
    known: set[str] = set()
    misfits = []
    for name, shape in base.shapes.items():
        down, up = adapter.factor_names(name)
        if down not in shapes or up not in shapes:
            continue
        known |= {down, up}
        inner = shapes[down][0]
        if (shapes[down], shapes[up]) != ((inner, shape[-1]), (shape[0], inner)):
            misfits.append(f"{name} {list(shape)}")
    found = []
    if unknown := sorted(shapes.keys() - known):
        found.append(
            f"{adapter.weights.folder} has factors that fit no weight of {base.folder}: "
            f"{listed(unknown)}"
        )
    if misfits:
        found.append(
            f"{adapter.weights.folder} has factors of another shape than {base.folder}: "
            f"{listed(misfits)}"
        )
    return found
