"""The critic: a value model under DeepSpeed, trained by regression.

values of the update's rows -> advantages and targets (rank 0) -> per minibatch of finished
responses: clipped value loss and backward per micro-batch, one optimizer step. Its backbone is its
own or the policy's; like `DeepSpeedLearner`, every method is called by all ranks.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from rl.algorithms.value_loss import clipped_value_loss, value_metrics
from rl.config import CriticConfig, RunConfig
from rl.learner.batch import TokenRow, ValueRow, dummy_value_row
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.engine import is_plain, train_engine, train_minibatches
from rl.learner.policy import padded_ids
from rl.learner.process_group import Ranks
from rl.learner.statistics import Statistics
from rl.learner.universal import load_engine

if TYPE_CHECKING:
    from transformers import PreTrainedModel

Values = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class PaddedStates:
    """Rows of one micro-batch, padded on the right to the longest.

    `token_ids` [B, L]. A row has T + 1 states: before each response token, and after the last.
    State i of all N lies at position `positions[i]` of row `rows[i]`.
    """

    token_ids: Tensor
    rows: Tensor
    positions: Tensor


def pad_states(rows: Sequence[TokenRow], device: torch.device) -> PaddedStates:
    sizes = [num_states(row) for row in rows]
    positions = [np.arange(row.prompt_length - 1, row.num_tokens) for row in rows]
    arrays = {
        "token_ids": padded_ids(rows),
        "rows": np.repeat(np.arange(len(rows)), sizes),
        "positions": np.concatenate(positions),
    }
    return PaddedStates(**{name: torch.from_numpy(a).to(device) for name, a in arrays.items()})


def num_states(row: TokenRow) -> int:
    return row.response_length + 1


class ValueHead(nn.Module):
    """One value per hidden state [N, H], computed in float32, without a bias.

    It starts at 0: a value that is wrong before anything is learned is credited to the tokens
    (VC-PPO, arXiv:2503.01491). A module of its own is where ZeRO-3 gathers the weight.
    """

    def __init__(self, hidden_size: int, dtype: torch.dtype) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(1, hidden_size, dtype=dtype))

    def forward(self, hidden: Tensor) -> Tensor:
        return nn.functional.linear(hidden.float(), self.weight.float())[:, 0]


class ValueModel(nn.Module):
    """A transformers model without its output layer, called for the values of states."""

    def __init__(self, backbone: "PreTrainedModel") -> None:
        super().__init__()
        self.backbone = backbone
        self.head = ValueHead(backbone.config.hidden_size, backbone.dtype)

    def forward(self, batch: PaddedStates) -> Tensor:
        """Values [N] at the states of `batch`."""
        values: Tensor = self.head(hidden_states(self.backbone, batch))
        return values


class SharedValueModel(nn.Module):
    """A value head on the policy's own hidden states; the head is all that learns.

    The policy is held by a function, for its parameters are not this module's: an engine around it
    neither partitions, trains nor saves them.
    """

    def __init__(self, policy: "PreTrainedModel") -> None:
        super().__init__()
        self.states = partial(policy_states, policy)
        self.head = ValueHead(policy.config.hidden_size, policy.dtype)

    def forward(self, batch: PaddedStates) -> Tensor:
        """Values [N] at the states of `batch`."""
        values: Tensor = self.head(self.states(batch))
        return values


@torch.no_grad()
def policy_states(policy: "PreTrainedModel", batch: PaddedStates) -> Tensor:
    """`hidden_states` of the policy as it is now, without dropout; leaves it in evaluation mode."""
    policy.eval()
    return hidden_states(policy.base_model, batch)


def hidden_states(backbone: "PreTrainedModel", batch: PaddedStates) -> Tensor:
    """The last hidden states [N, H] at the states of `batch`."""
    hidden = backbone(input_ids=batch.token_ids, use_cache=False).last_hidden_state
    states: Tensor = hidden[batch.rows, batch.positions]
    return states


@dataclass(frozen=True, slots=True, kw_only=True)
class FlatStates:
    """Tensors [N] over the states of all rows; the state after a row's last token never trains."""

    mask: Tensor
    old_values: Tensor
    returns: Tensor
    weights: Tensor


def flatten_states(rows: Sequence[ValueRow], device: torch.device) -> FlatStates:
    weights = np.array([row.weight for row in rows], dtype=np.float32)
    arrays = {
        "mask": np.concatenate([np.append(row.mask, False) for row in rows]),
        "old_values": np.concatenate([np.append(row.old_values, np.float32(0)) for row in rows]),
        "returns": np.concatenate([np.append(row.returns, np.float32(0)) for row in rows]),
        "weights": np.repeat(weights, [num_states(row) for row in rows]),
    }
    return FlatStates(**{name: torch.from_numpy(a).to(device) for name, a in arrays.items()})


def weighted_loss(values: Tensor, flat: FlatStates, clip_low: float, clip_high: float) -> Tensor:
    """sum_b w_b sum_t m_bt loss_bt over the states [N] of a micro-batch."""
    losses = clipped_value_loss(values, flat.old_values, flat.returns, clip_low, clip_high)
    return (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()


class Critic:
    """The value model's weights and optimizer, spread over the ranks as ZeRO's stage says."""

    def __init__(
        self, config: RunConfig, critic: CriticConfig, model: nn.Module, ranks: Ranks
    ) -> None:
        """`model` is called for the values of `PaddedStates`."""
        self._config = critic
        self._settings = replace(config.learner, learning_rate=critic.learning_rate)
        self._dtype = config.model.dtype
        self._ranks = ranks
        self._engine = train_engine(model.to(ranks.device), self._settings, self._dtype)

    @torch.no_grad()
    def values(self, microbatches: Sequence[Sequence[TokenRow]]) -> list[list[Values]]:
        """Values [T + 1] of every row: before each response token, and after the last."""
        self._engine.eval()
        found = []
        for rows in microbatches:
            values = self._call(rows or [dummy_value_row()])
            parts = values.split([num_states(row) for row in rows]) if rows else ()
            found.append([part.cpu().numpy() for part in parts])
        return found

    def update(self, minibatches: Sequence[Sequence[Sequence[ValueRow]]]) -> dict[str, float]:
        """One optimizer step per minibatch; returns metrics over all ranks, under verl's names."""
        statistics = Statistics()
        steps = train_minibatches(
            self._engine,
            minibatches,
            partial(self._loss, statistics=statistics),
            plain=is_plain(self._settings, self._dtype),
            ranks=self._ranks,
        )
        return statistics.reduce(self._ranks.device) | {
            "critic/vf_loss": steps.loss,
            "critic/grad_norm": steps.grad_norm,
            "critic/skipped_updates": steps.num_skipped,
        }

    def save(self, folder: Path) -> None:
        """Weights, head and optimizer; by all ranks."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, save_latest=False)

    def load(self, folder: Path, num_saved: int, scratch: Path) -> None:
        """Restores what `save` wrote on `num_saved` ranks under the same layout."""
        load_engine(self._engine, folder, num_saved, scratch, strict=True)

    def _call(self, rows: Sequence[TokenRow]) -> Tensor:
        values: Tensor = self._engine(pad_states(rows, self._ranks.device))
        return values

    def _loss(self, rows: Sequence[ValueRow], statistics: Statistics) -> Tensor:
        """This rank's part of the loss of a micro-batch."""
        rows = rows or [dummy_value_row()]
        flat = flatten_states(rows, self._ranks.device)
        values = self._call(rows)
        clip = (self._config.clip_low, self._config.clip_high)
        means = value_metrics(values, flat.old_values, flat.returns, *clip)
        statistics.add(flat.mask, means=means, maxima={}, minima={})
        return weighted_loss(values, flat, *clip)
