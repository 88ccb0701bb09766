"""Fingerprints of a vLLM model (`rollout.fingerprint`), although packed weights are unreadable.

Every layer is multiplied with the fixed vector through the very path that sampling uses.
"""

import base64
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from rollout.fingerprint import fingerprint, probe_vector

LOOKUP_ROWS = 8192
"""Embedding rows looked up at once."""


@torch.inference_mode()
def model_fingerprints(model: nn.Module) -> dict[str, Tensor]:
    """Fingerprints of a vLLM model by checkpoint name, fused layers taken apart.

    Runs in the worker. Raises ValueError when the model is split over several ranks.
    """
    from vllm.distributed import get_tensor_model_parallel_world_size

    if get_tensor_model_parallel_world_size() > 1:
        raise ValueError("fingerprints need whole layers; set tensor_parallel_size=1")
    packed: Mapping[str, list[str]] = getattr(model, "packed_modules_mapping", {})
    found: dict[str, Tensor] = {}
    for path, module in model.named_modules():
        for name, value in _module_fingerprints(path, module, packed):
            found[name] = value.float().cpu().contiguous()
    return found


def packed_fingerprints(fingerprints: Mapping[str, Tensor]) -> dict[str, str]:
    """float32 values as base64, which JSON can carry."""
    return {
        name: base64.b64encode(value.numpy().tobytes()).decode("ascii")
        for name, value in fingerprints.items()
    }


def unpacked_fingerprints(packed: Mapping[str, str]) -> dict[str, Tensor]:
    """What `packed_fingerprints` packed."""
    return {
        name: torch.from_numpy(np.frombuffer(base64.b64decode(text), dtype="<f4").copy())
        for name, text in packed.items()
    }


def _module_fingerprints(
    path: str, module: nn.Module, packed: Mapping[str, list[str]]
) -> Iterator[tuple[str, Tensor]]:
    from vllm.model_executor.layers.linear import LinearBase
    from vllm.model_executor.layers.vocab_parallel_embedding import (
        ParallelLMHead,
        VocabParallelEmbedding,
    )

    if isinstance(module, ParallelLMHead):
        yield f"{path}.weight", _product(module, module.embedding_dim)[: module.org_vocab_size]
    elif isinstance(module, VocabParallelEmbedding):
        yield f"{path}.weight", _looked_up(module)
    elif isinstance(module, LinearBase):
        yield from _linear_fingerprints(path, module, packed)
    else:
        for name, parameter in module.named_parameters(recurse=False):
            yield f"{path}.{name}", fingerprint(name, parameter)


def _linear_fingerprints(
    path: str, layer: Any, packed: Mapping[str, list[str]]
) -> Iterator[tuple[str, Tensor]]:
    parent, _, leaf = path.rpartition(".")
    parts = packed.get(leaf, [leaf])
    product = _product(layer, layer.input_size)
    sizes = list(layer.output_sizes) if len(parts) > 1 else [len(product)]
    for part, value in zip(parts, product.split(sizes), strict=True):
        yield f"{parent}.{part}.weight", value
    if layer.bias is not None:
        for part, value in zip(parts, layer.bias.split(sizes), strict=True):
            yield f"{parent}.{part}.bias", value


def _product(layer: Any, width: int) -> Tensor:
    """W v [rows] through the layer's own (packed) matrix product."""
    vector = probe_vector(width).to(layer.weight)
    product: Tensor = layer.quant_method.apply(layer, vector[None], bias=None)
    return product[0]


def _looked_up(layer: Any) -> Tensor:
    """E v [rows] of the rows that the embedding's lookup returns."""
    vector = probe_vector(layer.embedding_dim).to(layer.weight)
    ids = torch.arange(layer.org_vocab_size, device=layer.weight.device)
    return torch.cat([layer(chunk) @ vector for chunk in ids.split(LOOKUP_ROWS)])
