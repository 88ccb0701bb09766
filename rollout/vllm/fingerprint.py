"""Finds parameters whose engine copy is not the trainer's, although packed weights are unreadable.

Every layer is multiplied with a fixed vector, through the very path that sampling uses; the trainer
multiplies its own matrices with the same vector. One number per output row comes back, under the
checkpoint's parameter names. Norms and biases are compared as they are.
"""

from collections.abc import Iterator, Mapping
from typing import Any

import torch
from torch import Tensor, nn

LOOKUP_ROWS = 8192
"""Embedding rows looked up at once."""


def probe_vector(width: int) -> Tensor:
    """A fixed float32 vector [width], normal, seeded by its width and scaled to norm 1."""
    generator = torch.Generator().manual_seed(width)
    vector: Tensor = torch.randn(width, generator=generator)
    return vector.div_(torch.linalg.vector_norm(vector))


def fingerprint(name: str, tensor: Tensor) -> Tensor:
    """W v of a matrix [rows, width], a vector as it is: float32 [rows], on the CPU.

    The trainer's side. Raises ValueError for a tensor of more dimensions, which no decoder layer
    that we fingerprint has.
    """
    if tensor.ndim > 2:
        raise ValueError(f"{name} has shape {tuple(tensor.shape)}: only matrices and vectors")
    values = tensor.detach()
    if values.ndim == 2:
        values = values @ probe_vector(values.shape[1]).to(values)
    return values.float().cpu()


def stale_parameters(
    engine: Mapping[str, Tensor], trainer: Mapping[str, Tensor], tolerance: float
) -> list[str]:
    """Names whose fingerprints differ by more than `tolerance`, relative to the largest value.

    `engine` may name a tied head that the trainer does not have; it is held against the embedding.
    Parameters of the trainer that the engine does not know are listed too.
    """
    stale = [name for name in trainer if name not in engine]
    for name, value in engine.items():
        wanted = trainer.get(name)
        if wanted is None and name == "lm_head.weight":
            wanted = trainer.get("model.embed_tokens.weight")
        if wanted is not None and _differs(value, wanted, tolerance):
            stale.append(name)
    return sorted(stale)


def _differs(value: Tensor, wanted: Tensor, tolerance: float) -> bool:
    if value.shape != wanted.shape:
        return True
    scale = wanted.abs().max().clamp_min(torch.finfo(torch.float32).tiny)
    return not bool((value - wanted).abs().max() <= tolerance * scale)


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
