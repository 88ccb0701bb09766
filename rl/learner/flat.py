"""Per-token training data of a micro-batch, one response after the other, without padding."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from rl.learner.batch import Row


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatRows:
    """Tensors [N] over the response tokens of all rows.

    `rows` is the row of each token and `weights` that row's weight; `ages` are the weight
    versions since it was sampled; `held` marks the tokens that KL-Cov holds; `right_weights` are
    the weights of the tokens that the policy imitates, 0 for all others; `lengths` [B] are the
    trained tokens of each row.
    """

    mask: Tensor
    advantages: Tensor
    sampler_logprobs: Tensor
    ages: Tensor
    weights: Tensor
    rows: Tensor
    held: Tensor
    right_weights: Tensor
    lengths: Tensor

    def row_means(self, values: Tensor) -> Tensor:
        """Mean of `values` [N] over each row's trained tokens [B]; 0 for a row without any."""
        return self.row_sums(values) / self.lengths.clamp(min=1)

    def row_sums(self, values: Tensor) -> Tensor:
        """Sum of `values` [N] over each row's trained tokens [B]."""
        zeros = torch.zeros(len(self.lengths), dtype=values.dtype, device=values.device)
        return zeros.index_add(0, self.rows, values.masked_fill(~self.mask, 0))


def flatten(rows: Sequence[Row], device: torch.device) -> FlatRows:
    numbers = np.repeat(np.arange(len(rows)), [row.response_length for row in rows])
    weights = np.array([row.weight for row in rows], dtype=np.float32)
    arrays: dict[str, NDArray[Any]] = {
        "mask": np.concatenate([row.mask for row in rows]),
        "advantages": np.concatenate([row.advantages for row in rows]),
        "sampler_logprobs": np.concatenate([row.sampler_logprobs for row in rows]),
        "ages": np.concatenate([row.ages for row in rows]),
        "weights": weights[numbers],
        "rows": numbers,
        "held": np.concatenate([held_mask(row) for row in rows]),
        "right_weights": np.concatenate([right_weights(row) for row in rows]),
        "lengths": np.array([row.num_trained for row in rows]),
    }
    return FlatRows(**{name: torch.from_numpy(a).to(device) for name, a in arrays.items()})


def held_mask(row: Row) -> NDArray[np.bool_]:
    """True [T] on the tokens that KL-Cov holds."""
    mask = np.zeros(row.response_length, np.bool_)
    mask[row.held] = True
    return mask


def right_weights(row: Row) -> NDArray[np.float32]:
    """The weight [T] of each token as one of a right answer."""
    weights = np.zeros(row.response_length, np.float32)
    weights[row.right] = row.right_weight
    return weights
