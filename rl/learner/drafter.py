"""The draft model's learner: online distillation from the policy on the policy's own rollouts.

rows of the update, after the policy's step -> the policy's hidden states, without gradient -> per
minibatch: both models' logits chunk by chunk, loss and backward per micro-batch, one optimizer
step. Online Speculative Decoding (arXiv:2310.07177) learns from the tokens that were drafted wrong
as they are served; here from every sampled token, against the weights that are published next.
"""

from collections.abc import Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple

import torch
from torch import Tensor, nn
from torch.utils.checkpoint import checkpoint

from rl.algorithms.draft_losses import DRAFT_LOSSES, DraftLoss, acceptance
from rl.config import RunConfig
from rl.learner.batch import Row, dummy_row
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.engine import is_plain, train_engine, train_minibatches
from rl.learner.flat import flatten
from rl.learner.model import enable_checkpointing
from rl.learner.policy import ModelRows, Policy, output_weight, pad_rows, response_states
from rl.learner.process_group import Ranks
from rl.learner.statistics import Statistics
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
        policy.eval()
        steps = train_minibatches(
            self._engine,
            minibatches,
            partial(self._loss, policy=policy, statistics=statistics),
            plain=is_plain(self._settings, self._dtype),
            ranks=self._ranks,
        )
        return statistics.reduce(self._ranks.device) | {
            "draft_model/loss": steps.loss,
            "draft_model/grad_norm": steps.grad_norm,
            "draft_model/skipped_updates": steps.num_skipped,
        }

    def save(self, folder: Path) -> None:
        """Weights and optimizer; by all ranks."""
        self._engine.save_checkpoint(str(folder), tag=CHECKPOINT_TAG, save_latest=False)

    def load(self, folder: Path, num_saved: int, scratch: Path) -> None:
        """Restores what `save` wrote on `num_saved` ranks under the same layout."""
        load_engine(self._engine, folder, num_saved, scratch, strict=True)

    def _loss(self, rows: Sequence[Row], policy: Policy, statistics: Statistics) -> Tensor:
        """This rank's part of the loss of a micro-batch."""
        rows = rows or [dummy_row()]
        batch = pad_rows(rows, self._ranks.device)
        with torch.no_grad():
            states = response_states(policy.model, batch)
        found: DraftTokens = self._engine(batch, states, policy.head.weight.detach())
        flat = flatten(rows, self._ranks.device)
        means = {"draft_model/acceptance": found.acceptances}
        statistics.add(flat.mask, means=means, maxima={}, minima={})
        return (flat.weights * found.losses.masked_fill(~flat.mask, 0.0)).sum()
