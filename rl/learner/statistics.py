"""Means and extremes of one update, over micro-batches and over ranks."""

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
import torch.distributed as dist
from torch import Tensor


class Statistics:
    """Means, minima and maxima over the entries (tokens or rows) of an update, on all ranks.

    Every call and every rank names the same statistics.
    """

    def __init__(self) -> None:
        self._count = 0
        self._sums: dict[str, float] = {}
        self._maxima: dict[str, float] = {}
        self._minima: dict[str, float] = {}

    def add(
        self,
        mask: Tensor,
        means: Mapping[str, Tensor],
        maxima: Mapping[str, Tensor],
        minima: Mapping[str, Tensor],
    ) -> None:
        """Adds a micro-batch: values are [N], `mask` [N] selects those that count."""
        self._count += int(mask.sum())
        for name, value in means.items():
            self._sums[name] = self._sums.get(name, 0.0) + selected(value, mask).sum().item()
        for name, value in maxima.items():
            chosen = selected(value, mask)
            peak = chosen.max().item() if len(chosen) else -torch.inf
            # NumPy's, because Python's `max` and `min` lose a NaN.
            self._maxima[name] = float(np.maximum(self._maxima.get(name, peak), peak))
        for name, value in minima.items():
            chosen = selected(value, mask)
            dip = chosen.min().item() if len(chosen) else torch.inf
            self._minima[name] = float(np.minimum(self._minima.get(name, dip), dip))

    def reduce(self, device: torch.device) -> dict[str, float]:
        """All statistics over all ranks; collective. One NaN among the values makes a NaN."""
        count, *sums = reduced([self._count, *self._sums.values()], dist.ReduceOp.SUM, device)
        means = {name: total / max(count, 1) for name, total in zip(self._sums, sums, strict=True)}
        negated = {name: -dip for name, dip in self._minima.items()}
        minima = {name: -dip for name, dip in reduced_maxima(negated, device).items()}
        return means | reduced_maxima(self._maxima, device) | minima


def selected(value: Tensor, mask: Tensor) -> Tensor:
    """The entries of `value` [N] under `mask` [N], in double precision, without gradient."""
    return value.detach()[mask].double()


def reduced_maxima(values: Mapping[str, float], device: torch.device) -> dict[str, float]:
    """The maximum of each over all ranks, NaN if any rank's is; collective.

    What a backend's MAX makes of a NaN is not defined, so NaNs are counted beside it.
    """
    maxima = reduced(values.values(), dist.ReduceOp.MAX, device)
    nans = reduced([float(math.isnan(v)) for v in values.values()], dist.ReduceOp.SUM, device)
    return {
        name: math.nan if nan else peak
        for name, peak, nan in zip(values, maxima, nans, strict=True)
    }


def reduced(
    values: Iterable[float], op: dist.ReduceOp.RedOpType, device: torch.device
) -> list[float]:
    """`values` combined elementwise over all ranks; collective."""
    tensor = torch.tensor(list(values), dtype=torch.float64, device=device)
    dist.all_reduce(tensor, op=op)
    result: list[float] = tensor.tolist()
    return result
