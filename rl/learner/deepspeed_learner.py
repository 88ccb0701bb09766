"""The learner: a policy under DeepSpeed that is updated, published, saved and exported.

Every method is called by all ranks, each with its own rows (`rl.learner.ranks` arranges that).
update: old log-probs (several minibatches) -> per minibatch: loss and backward per micro-batch,
one optimizer step.
"""

import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
import torch.distributed as dist
from torch import Tensor, nn

from data.types import LogProbs
from rl.algorithms.table import policy_loss
from rl.config import ActorCriticConfig, Backbone, RunConfig
from rl.disk import sync_tree
from rl.learner.batch import Row, ValueRow, dummy_row
from rl.learner.checkpoint import CHECKPOINT_TAG, Index, Layout, read_index, write_index
from rl.learner.correction import INTERPOLATIONS, correction_weights, weight_metrics
from rl.learner.critic import Critic, SharedValueModel, ValueModel, Values
from rl.learner.deterministic import use_deterministic_algorithms
from rl.learner.diagnostics import Diagnostics
from rl.learner.drafter import DraftLearner
from rl.learner.engine import (
    deepspeed_config,
    frozen_engine,
    is_plain,
    optimizer_step,
    train_engine,
)
from rl.learner.flat import flatten
from rl.learner.logprobs import TokenLogprobs
from rl.learner.model import (
    add_lora,
    enable_checkpointing,
    enable_shared_prefixes,
    load_model,
)
from rl.learner.objective import summed, with_further_terms
from rl.learner.policy import Arrange, Policy, pad_rows, share_prefixes
from rl.learner.process_group import Ranks
from rl.learner.publish import Publisher
from rl.learner.rng import read_generators, seed_generators, write_generators
from rl.learner.schedule import learning_rate
from rl.learner.sequence_parallel import SlicedPolicy, open_sequence_group
from rl.learner.statistics import reduced
from rl.learner.universal import load_engine
from rl.learner.weights import (
    checkpoint_weights,
    whole_weights,
    write_configs,
    write_safetensors,
)
from rollout.config import VllmConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

MicroBatches = Sequence[Sequence[Row]]
"""This rank's micro-batches; every rank has the same number, an empty one trains nothing."""

Fingerprint = Callable[[str, Tensor], Tensor]
"""A short vector for a named whole tensor."""

CRITIC = "critic"
"""The folder of the critic inside a learner checkpoint."""
DRAFTER = "drafter"
"""The folder of the draft model."""


class DeepSpeedLearner:
    """The policy's weights and optimizer, spread over the ranks as ZeRO's stage says."""

    def __init__(
        self, config: RunConfig, model_path: str, ranks: Ranks, drafter_path: str = ""
    ) -> None:
        """`drafter_path` is that of the draft model, which is loaded if it is to learn."""
        self._algorithm = config.algorithm
        self._policy_loss = policy_loss(config.algorithm)
        self._weigh = correction_weights(config.correction)
        self._interpolate = INTERPOLATIONS.get(type(config.correction))
        self._settings = config.learner
        self._arrange: Arrange = share_prefixes if config.learner.share_prefixes else pad_rows
        self._dtype = config.model.dtype
        self._model_path = model_path
        self._revision = config.model.revision
        self.ranks = ranks
        self._partitioned = config.learner.zero_stage == 3
        size = config.learner.sequence_parallel
        self._sequence_group = open_sequence_group(size) if size > 1 else None
        self._bucket_bytes = config.rollout.sync_bucket_mib * 2**20
        self._warmup = config.learner.warmup_steps * config.algorithm.num_minibatches
        self._num_updates = policy_steps(config) * config.algorithm.num_minibatches
        self._updates = 0
        if config.deterministic:
            use_deterministic_algorithms()
        seed_generators(config.seed)
        model = self._load(config)
        self._adapters = add_lora(model, config.learner.lora) if config.learner.lora.rank else None
        if config.learner.gradient_checkpointing:
            enable_checkpointing(model, inputs_require_grad=self._adapters is not None)
        self._model = model
        self._engine = train_engine(self._policy(model, config), config.learner, self._dtype)
        self._weights = checkpoint_weights(model)
        self._drafter = self._load_drafter(config, drafter_path)
        self.publish = Publisher(
            self._weights,
            self._bucket_bytes,
            config.rollout.sync_anchor_versions,
            partitioned=self._partitioned,
            device=ranks.device,
            drafter=checkpoint_weights(self._drafter.model) if self._drafter else (),
        )
        self._reference = self._load_reference(config)
        self._critic = self._load_critic(config)

    def update(self, minibatches: Sequence[MicroBatches]) -> dict[str, float]:
        """One optimizer step per minibatch; returns metrics over all ranks, under TRL's names.

        With one minibatch the policy that is updated is the one that sampled, so the ratio is 1
        and carries the gradient; with several, the log-probs at the start of the update are
        computed first and the ratio leaves 1 from the second minibatch on. A correction that
        interpolates the proximal policy needs no such pass. A minibatch whose every token the
        correction masks leaves weights and optimizer as they are.
        """
        forward_first = len(minibatches) > 1 and self._interpolate is None
        old = [self._forward(micro) for micro in minibatches] if forward_first else None
        diagnostics = Diagnostics()
        losses, norms, num_masked = [], [], 0
        rate = 0.0
        for number, minibatch in enumerate(minibatches):
            old_logprobs = old[number] if old else [None] * len(minibatch)
            diagnostics.has_moved = self._interpolate is not None and number > 0
            loss, kept = self._accumulate(minibatch, old_logprobs, diagnostics)
            losses.append(loss)
            rate = self._set_learning_rate()
            norm = self._step()
            norms.append(norm if kept else 0.0)
            num_masked += not kept
        total = sum(reduced(losses, dist.ReduceOp.SUM, self.ranks.device))
        total /= self._settings.sequence_parallel  # the ranks of a group report one and the same
        return diagnostics.reduce(self.ranks.device) | {
            "loss": total / len(minibatches),
            "grad_norm": sum(norms) / len(norms),
            "skipped_updates": float(sum(not math.isfinite(norm) for norm in norms)),
            "correction/masked_updates": float(num_masked),
            "learning_rate": rate,
            "weights/l2": self.weights_l2(),
        }

    def logprobs(self, microbatches: MicroBatches) -> list[list[LogProbs]]:
        """Log-probs [T] of every row's response under the sampler's distribution."""
        return [
            split_rows(rows, flat)
            for rows, flat in zip(microbatches, self._forward(microbatches), strict=True)
        ]

    def reference_logprobs(self, microbatches: MicroBatches) -> list[list[LogProbs]]:
        """As `logprobs`, of the initial policy, which the config must ask for."""
        return [split_rows(rows, self._reference_logprobs(rows)) for rows in microbatches]

    @torch.no_grad()
    def gradient_norms(self, microbatches: MicroBatches) -> list[list[LogProbs]]:
        """How far each row would move the output matrix, one number [1] each (GVM)."""
        self._engine.eval()
        found = []
        for rows in microbatches:
            batch = self._arrange(rows or [dummy_row()], self.ranks.device)
            norms = self._engine.module.gradient_norms(batch).cpu().numpy()
            found.append([norms[i : i + 1] for i in range(len(rows))])
        return found

    def values(self, microbatches: MicroBatches) -> list[list[Values]]:
        """Values [T + 1] of every row: before each response token, and after the last."""
        return self.critic.values(microbatches)

    def update_critic(
        self, minibatches: Sequence[Sequence[Sequence[ValueRow]]]
    ) -> dict[str, float]:
        """One optimizer step of the critic per minibatch; metrics over all ranks."""
        return self.critic.update(minibatches)

    @property
    def critic(self) -> Critic:
        """Raises ValueError for an algorithm that has none."""
        if self._critic is None:
            raise ValueError(
                f"algorithm={type(self._algorithm).__name__} has no critic, so there are no "
                "values; choose an algorithm with value advantages"
            )
        return self._critic

    def update_drafter(self, minibatches: Sequence[MicroBatches]) -> dict[str, float]:
        """One optimizer step of the draft model per minibatch; metrics over all ranks."""
        assert self._drafter is not None, "there are minibatches for a draft model that learns"
        metrics = self._drafter.update(minibatches, self._engine.module)
        self.publish.moved()
        return metrics

    def fingerprints(self, fingerprint: Fingerprint) -> dict[str, Tensor]:
        """`fingerprint(name, tensor)` of every published tensor; on rank 0, empty elsewhere."""
        found: dict[str, Tensor] = {}
        for bucket in self._whole_weights():
            if self.ranks.is_first:
                found |= {name: fingerprint(name, tensor) for name, tensor in bucket}
        return found

    def weights_l2(self) -> float:
        """Euclidean norm of all published weights, in double precision."""
        squares = 0.0
        for bucket in self._whole_weights():
            norms = [torch.linalg.vector_norm(t, dtype=torch.float64) for _, t in bucket]
            squares += sum(norm.item() ** 2 for norm in norms)
        return float(squares**0.5)

    def save(self, folder: Path) -> None:
        """Weights (adapters only, under LoRA), optimizer, steps done, generators; by all ranks."""
        self._engine.save_checkpoint(
            str(folder),
            tag=CHECKPOINT_TAG,
            save_latest=False,
            exclude_frozen_parameters=self._adapters is not None,
        )
        if self._critic is not None:
            self._critic.save(folder / CRITIC)
        if self._drafter is not None:
            self._drafter.save(folder / DRAFTER)
        write_generators(folder, self.ranks.rank)
        if self.ranks.is_first:
            index = Index(updates=self._updates, num_ranks=self.ranks.world_size)
            write_index(folder, self._layout(), index)
        if self.ranks.local_rank == 0:
            sync_tree(folder)
        dist.barrier()

    def load(self, folder: Path) -> None:
        """Restores what `save` wrote with the same ZeRO stage, precision and adapters.

        On another number of ranks it is converted first, in a folder beside the checkpoint's.
        DeepSpeed's files are pickles: load your own checkpoints only, never a downloaded one.
        Raises ValueError when the folder holds no checkpoint, or one of another layout.
        """
        updates, num_saved = read_index(folder, self._layout())
        # Named as an unfinished checkpoint, of which a run that was killed is cleared.
        scratch = folder.parent.with_name(f"{folder.parent.name}.universal.partial")
        if self._critic is not None:
            self._critic.load(folder / CRITIC, num_saved, scratch)
        if self._drafter is not None:
            self._drafter.load(folder / DRAFTER, num_saved, scratch)
        load_engine(self._engine, folder, num_saved, scratch, strict=self._adapters is None)
        self._updates = updates
        self.publish.moved()

    def load_generators(self, folder: Path) -> None:
        """Puts the random number generators where `save` found them; the last act of a restore."""
        read_generators(folder, self.ranks.rank)

    def _layout(self) -> Layout:
        """What must not change between `save` and `load`."""
        layout: Layout = {
            "learner.zero_stage": self._settings.zero_stage,
            "model.dtype": self._dtype,
            "learner.lora.rank": self._settings.lora.rank,
        }
        if isinstance(self._algorithm, ActorCriticConfig):
            layout["algorithm.critic.backbone"] = self._algorithm.critic.backbone.value
        if self._drafter is not None:
            layout["draft_model"] = "whole"
        return layout

    def export(self, folder: Path) -> None:
        """The policy in Hugging Face format: safetensors, config, generation config, tokenizer."""
        if self.ranks.is_first:
            folder.mkdir(parents=True, exist_ok=True)
            write_configs(folder, self._model, self._model_path, self._revision)
        write_safetensors(
            folder, self._weights, self._bucket_bytes, self._partitioned, self.ranks.is_first
        )
        dist.barrier()

    def _load(self, config: RunConfig) -> "PreTrainedModel":
        zero3 = deepspeed_config(self._settings, self._dtype) if self._partitioned else None
        return load_model(self._model_path, config.model, zero3, self.ranks.device)

    def _policy(self, model: "PreTrainedModel", config: RunConfig) -> Policy:
        rollout = config.rollout
        chunk = self._settings.logprob_chunk_tokens
        if self._settings.share_prefixes:
            enable_shared_prefixes(model, self.ranks.device)
        settings = (rollout.temperature, rollout.top_p, chunk)
        if self._sequence_group is None:
            return Policy(model, *settings)
        return SlicedPolicy(model, *settings, self._sequence_group)

    def _load_reference(self, config: RunConfig) -> nn.Module | None:
        """A frozen copy of the initial policy; None when no KL is wanted or adapters can be off."""
        if not self._algorithm.needs_reference or self._adapters is not None:
            return None
        policy = self._policy(self._load(config), config).eval().requires_grad_(False)
        if not self._partitioned:
            return policy
        engine: nn.Module = frozen_engine(policy, self._settings, self._dtype)
        return engine

    def _load_critic(self, config: RunConfig) -> Critic | None:
        """The critic of an algorithm that has one."""
        if not isinstance(config.algorithm, ActorCriticConfig):
            return None
        critic = config.algorithm.critic
        if critic.backbone is Backbone.shared:
            return Critic(config, critic, SharedValueModel(self._model), self.ranks)
        backbone = self._load(config).base_model
        if config.learner.gradient_checkpointing:
            enable_checkpointing(backbone, inputs_require_grad=False)
        return Critic(config, critic, ValueModel(backbone), self.ranks)

    def _load_drafter(self, config: RunConfig, path: str) -> DraftLearner | None:
        """The draft model that learns, if the config asks for one."""
        if not config.learner.draft_model.learning_rate:
            return None
        assert isinstance(config.rollout, VllmConfig), "no other engine has a draft model"
        source = replace(config.model, revision=config.rollout.draft_model.revision)
        model = load_model(path, source, None, self.ranks.device)
        return DraftLearner(config, model, self.ranks)

    def _whole_weights(self) -> Any:
        return whole_weights(self._weights, self._bucket_bytes, self._partitioned)

    @torch.no_grad()
    def _forward(self, microbatches: MicroBatches) -> list[Tensor]:
        """Log-probs [N] of each micro-batch, without gradient."""
        self._engine.eval()
        return [self._call(self._engine, rows).logprobs for rows in microbatches]

    def _call(self, policy: Any, rows: Sequence[Row]) -> TokenLogprobs:
        result: TokenLogprobs = policy(self._arrange(rows or [dummy_row()], self.ranks.device))
        return result

    @torch.no_grad()
    def _reference_logprobs(self, rows: Sequence[Row]) -> Tensor:
        """Log-probs [N] of the initial policy; leaves the engine training."""
        policy = self._engine if self._reference is None else self._reference
        policy.eval()
        with self._adapters_off():
            logprobs = self._call(policy, rows).logprobs
        self._engine.train()
        return logprobs

    def _adapters_off(self) -> AbstractContextManager[None]:
        if self._adapters is None:
            return nullcontext()
        context: AbstractContextManager[None] = self._adapters.disable_adapter()
        return context

    def _accumulate(
        self,
        minibatch: MicroBatches,
        old_logprobs: Sequence[Tensor | None],
        diagnostics: Diagnostics,
    ) -> tuple[float, bool]:
        """Adds the gradients of a minibatch.

        Returns this rank's part of its loss, and whether a token of any rank was kept. If none was,
        the gradient is made NaN: that DeepSpeed leaves out at every stage and precision, while it
        has no call that drops what has been accumulated.
        """
        self._engine.train()
        total, num_kept, kept = 0.0, 0, True
        for number, (rows, old) in enumerate(zip(minibatch, old_logprobs, strict=True), start=1):
            self._engine.set_gradient_accumulation_boundary(number == len(minibatch))
            loss, num = self._loss(rows, old, diagnostics)
            num_kept += num
            if number == len(minibatch):
                kept = sum(reduced([num_kept], dist.ReduceOp.SUM, self.ranks.device)) > 0
            # ZeRO averages gradients over ranks; row weights already divide by the whole batch.
            self._engine.backward(loss * (self.ranks.world_size if kept else math.nan))
            total += loss.item()
        return total, kept

    def _loss(
        self, rows: Sequence[Row], old: Tensor | None, diagnostics: Diagnostics
    ) -> tuple[Tensor, int]:
        """This rank's part of the loss of a micro-batch, and the trained tokens that it keeps."""
        flat = flatten(rows or [dummy_row()], self.ranks.device)
        reference = self._reference_logprobs(rows) if self._algorithm.kl_coefficient else None
        policy = self._call(self._engine, rows)
        logprobs = policy.logprobs.detach()
        old = logprobs if old is None else old
        proximal = self._interpolate(flat, logprobs) if self._interpolate else old
        surrogate = self._policy_loss(flat, policy.logprobs, proximal)
        weights = self._weigh(flat, proximal, logprobs)
        losses, terms = with_further_terms(
            weights.values * surrogate.losses, self._algorithm, flat, policy, old, reference
        )
        means = {"entropy": policy.entropies} | surrogate.metrics | terms | weight_metrics(weights)
        diagnostics.add(flat, means, surrogate.ratio, old)
        if self._algorithm.positive_coefficient:
            diagnostics.add_right(flat, logprobs)
        num_kept = int((weights.kept & flat.mask).sum())
        return summed(losses, self._algorithm, flat, policy.logprobs), num_kept

    def _set_learning_rate(self) -> float:
        settings = self._settings
        rate = learning_rate(
            self._updates,
            settings.learning_rate,
            settings.schedule,
            self._warmup,
            self._num_updates,
        )
        for group in self._engine.optimizer.param_groups:
            group["lr"] = rate
        return rate

    def _step(self) -> float:
        """The optimizer step on the accumulated gradients; returns their norm before clipping."""
        norm = optimizer_step(self._engine, is_plain(self._settings, self._dtype))
        if math.isfinite(norm):
            self.publish.moved()
        self._updates += 1
        return norm


def split_rows(rows: Sequence[Row], flat: Tensor) -> list[LogProbs]:
    """`flat` [N] cut into one array [T] per row; a dummy's tokens are dropped."""
    parts = flat.split([row.response_length for row in rows]) if rows else ()
    return [part.float().cpu().numpy() for part in parts]


def policy_steps(config: RunConfig) -> int:
    """Steps of the run that update the policy: all but those that warm a critic up."""
    if not isinstance(config.algorithm, ActorCriticConfig):
        return config.num_steps
    return max(0, config.num_steps - config.algorithm.critic.warmup_steps)
