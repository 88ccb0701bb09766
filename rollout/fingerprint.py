"""Finds parameters whose engine copy is not the trainer's, without moving a whole model.

Both sides multiply every matrix with the same fixed vector. One number per output row is compared,
under the checkpoint's parameter names; norms and biases are compared as they are.
"""

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

AGREEMENT = 1e-3
"""Largest relative difference between two engines of the same weights, on unlike processors."""


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


def agreed(replicas: Sequence[Mapping[str, Tensor]]) -> dict[str, Tensor]:
    """The fingerprints of several engines as one: the first's, and where another one's differs
    from it, values that are not a number, which are equal to no trainer's."""
    first, *others = replicas
    differing = {name for other in others for name in stale_parameters(other, first, AGREEMENT)}
    return {
        name: torch.full_like(value, torch.nan) if name in differing else value
        for name, value in first.items()
    }


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
