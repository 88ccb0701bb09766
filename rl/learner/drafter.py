"""The draft model's learner: online distillation from the policy on the policy's own rollouts.

rows of the update, after the policy's step -> the policy's hidden states, without gradient -> per
minibatch: both models' logits chunk by chunk, loss and backward per micro-batch, one optimizer
step. Online Speculative Decoding (arXiv:2310.07177) learns from the tokens that were drafted wrong
as they are served; here from every sampled token, against the weights that are published next.
"""

import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rl.algorithms.draft_losses import DRAFT_LOSSES, DraftLoss, acceptance
from rl.config import RunConfig
from rl.learner.batch import Row, dummy_row
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.engine import is_plain, optimizer_step, train_engine
from rl.learner.flat import flatten
from rl.learner.model import enable_checkpointing
from rl.learner.policy import ModelRows, Policy, output_weight, pad_rows, response_states
from rl.learner.process_group import Ranks
from rl.learner.statistics import Statistics, reduced
from rl.learner.universal import load_engine

if TYPE_CHECKING:
    from transformers import PreTrainedModel


class DraftTokens(NamedTuple):
    """Losses [N] at the response tokens, and the chances [N] that a draft there is accepted."""

    losses: Tensor
    acceptances: Tensor


class DraftModel(nn.Module):
    """A causal language model from transformers, called for its distance from the policy.

    The logits of both exist for `chunk` positions at a time, in the forward and again in the
    backward pass. Nucleus sampling is left out of account: the engine drafts without it.
    """

    def __init__(
        self, model: "PreTrainedModel", loss: DraftLoss, temperature: float, chunk: int
    ) -> None:
        super().__init__()
        self.model = model
        self.weight = output_weight(model)
        self.loss = loss
        self.temperature = temperature
        self.chunk = chunk

    def forward(
        self, batch: ModelRows, policy_states: Tensor, policy_weight: Tensor
    ) -> DraftTokens:
        """At the response tokens of `batch`; the policy's hidden states are [N, H]."""
        states = response_states(self.model, batch)
        parts = [
            checkpoint(
                self._compared, *pair, self.weight, policy_weight,
                use_reentrant=False, preserve_rng_state=False,
            )
            for pair in zip(states.split(self.chunk), policy_states.split(self.chunk), strict=True)
        ]  # fmt: skip
        losses, acceptances = zip(*parts, strict=True)
        return DraftTokens(torch.cat(losses), torch.cat(acceptances))

    def _compared(
        self, states: Tensor, policy_states: Tensor, weight: Tensor, policy_weight: Tensor
    ) -> tuple[Tensor, Tensor]:
        draft = (states @ weight.T).float() / self.temperature
        policy = (policy_states @ policy_weight.T).float() / self.temperature
        return self.loss(draft, policy), acceptance(draft.detach(), policy)


class DraftLearner:
    """The draft model's weights and optimizer, spread over the ranks as ZeRO's stage says (0-2).

    Stage 3 is refused with the config: there the policy's output matrix is not whole.
    """

    def __init__(self, config: RunConfig, model: "PreTrainedModel", ranks: Ranks) -> None:
        options, learner = config.learner.draft_model, config.learner
        self._settings = replace(learner, learning_rate=options.learning_rate)
        self._dtype = config.model.dtype
        self._ranks = ranks
        if learner.gradient_checkpointing:
            enable_checkpointing(model, inputs_require_grad=False)
        self.model = model
        drafts = DraftModel(
            model,
            DRAFT_LOSSES[options.loss],
            config.rollout.temperature,
            learner.logprob_chunk_tokens,
        )
        self._engine = train_engine(drafts.to(ranks.device), self._settings, self._dtype)

    def update(
        self, minibatches: Sequence[Sequence[Sequence[Row]]], policy: Policy
    ) -> dict[str, float]:
        """One optimizer step towards `policy` per minibatch; returns metrics over all ranks."""
        statistics = Statistics()
        losses, norms = [], []
        policy.eval()
        for minibatch in minibatches:
            losses.append(self._accumulate(minibatch, policy, statistics))
            norms.append(optimizer_step(self._engine, is_plain(self._settings, self._dtype)))
        device = self._ranks.device
        return statistics.reduce(device) | {
            "draft_model/loss": sum(reduced(losses, dist.ReduceOp.SUM, device)) / len(minibatches),
            "draft_model/grad_norm": sum(norms) / len(norms),
            "draft_model/skipped_updates": float(sum(not math.isfinite(norm) for norm in norms)),
        }

    def save(self, folder: Path) -> None:
        """Weights and optimizer; by all ranks."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, save_latest=False)

    def load(self, folder: Path, num_saved: int, scratch: Path) -> None:
        """Restores what `save` wrote on `num_saved` ranks under the same layout."""
        load_engine(self._engine, folder, num_saved, scratch, strict=True)

    def _accumulate(
        self, minibatch: Sequence[Sequence[Row]], policy: Policy, statistics: Statistics
    ) -> float:
        """Adds the gradients of a minibatch; returns this rank's part of its loss."""
        self._engine.train()
        total = 0.0
        for number, rows in enumerate(minibatch, start=1):
            self._engine.set_gradient_accumulation_boundary(number == len(minibatch))
            loss = self._loss(rows or [dummy_row()], policy, statistics)
            # ZeRO averages gradients over ranks; row weights already divide by the whole batch.
            self._engine.backward(loss * self._ranks.world_size)
            total += loss.item()
        return total

    def _loss(self, rows: Sequence[Row], policy: Policy, statistics: Statistics) -> Tensor:
        batch = pad_rows(rows, self._ranks.device)
        with torch.no_grad():
            states = response_states(policy.model, batch)
        found: DraftTokens = self._engine(batch, states, policy.head.weight.detach())
        flat = flatten(rows, self._ranks.device)
        means = {"draft_model/acceptance": found.acceptances}
        statistics.add(flat.mask, means=means, maxima={}, minima={})
        return (flat.weights * found.losses.masked_fill(~flat.mask, 0.0)).sum()
