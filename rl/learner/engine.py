"""DeepSpeed engines: one for each model that trains, one that partitions a frozen copy."""

import math
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

from rl.config import BUCKET_VALUES, LearnerConfig, Offload
from rl.learner.model import decay_groups, whole_shape
from rl.learner.process_group import Ranks
from rl.learner.statistics import reduced

R = TypeVar("R")
"""A row of a model's minibatches."""


def deepspeed_config(learner: LearnerConfig, dtype: str) -> dict[str, Any]:
    """What DeepSpeed is told: stage, precision, clipping. Accumulation is steered by hand."""
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": learner.max_grad_norm,
        "zero_optimization": {"stage": learner.zero_stage} | offloaded(learner.offload),
        # Any torch optimizer is one that DeepSpeed has not tested, offloaded or not. Its own, for
        # the host, is compiled when it is made; torch's fused AdamW runs on the host too.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "steps_per_print": None,
    }
    if dtype == "bfloat16":
        config |= {"bf16": {"enabled": True}, "communication_data_type": "fp32"}
    if dtype == "bfloat16" and learner.zero_stage > 0:
        # Without ZeRO, DeepSpeed only accumulates in the parameters' own precision.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def offloaded(offload: Offload) -> dict[str, Any]:
    """What DeepSpeed keeps in the host's memory; arXiv:2101.06840 (all: arXiv:2104.07857)."""
    parts = {
        Offload.none: [],
        Offload.optimizer: ["offload_optimizer"],
        Offload.all: ["offload_optimizer", "offload_param"],
    }
    return {part: {"device": "cpu"} for part in parts[offload]}


def train_engine(model: nn.Module, learner: LearnerConfig, dtype: str) -> Any:
    """A DeepSpeed engine around `model` with torch's AdamW; the rate is set at every step."""
    import deepspeed

    optimizer = torch.optim.AdamW(
        decay_groups(model, learner.weight_decay),
        lr=learner.learning_rate,
        betas=(learner.adam_beta1, learner.adam_beta2),
        fused=True,
    )
    config = deepspeed_config(learner, dtype)
    config["zero_optimization"]["reduce_bucket_size"] = bucket_values(model)
    engine, *_ = deepspeed.initialize(model=model, optimizer=optimizer, config=config)
    if learner.zero_stage == 3:
        begin_moments(engine)
    return engine


def bucket_values(model: nn.Module) -> int:
    """Gradients that ZeRO reduces at a time: DeepSpeed's default, where `model` has so many.

    It allocates them whatever the model, 2 GB in fp32 at the default.
    """
    trained = sum(whole_shape(p).numel() for p in model.parameters() if p.requires_grad)
    return min(BUCKET_VALUES, trained)


def begin_moments(engine: Any) -> None:
    """Gives a ZeRO-3 engine AdamW's state before its first step, as AdamW would at that step.

    A checkpoint is saved before it where a critic warms up, and DeepSpeed cannot convert one of
    stage 3 without moments (`rl.learner.universal`); for stages 1 and 2 it then takes the module's
    own weights, which are those of an optimizer that has done nothing.
    """
    for partition in engine.optimizer.fp32_partitioned_groups_flat:
        engine.optimizer.state[partition] = {
            "step": torch.zeros((), dtype=torch.float32, device=partition.device),
            "exp_avg": torch.zeros_like(partition),
            "exp_avg_sq": torch.zeros_like(partition),
        }


def frozen_engine(policy: nn.Module, learner: LearnerConfig, dtype: str) -> Any:
    """`policy` without an optimizer, its parameters partitioned over the ranks (stage 3)."""
    import deepspeed

    engine, *_ = deepspeed.initialize(model=policy, config=deepspeed_config(learner, dtype))
    return engine


def is_plain(learner: LearnerConfig, dtype: str) -> bool:
    """Whether DeepSpeed wraps the optimizer in none of its own."""
    return learner.zero_stage == 0 and dtype == "float32"


class Steps(NamedTuple):
    """Optimizer steps over all ranks: mean loss, mean gradient norm, and how many were dropped."""

    loss: float
    grad_norm: float
    num_skipped: float


def train_minibatches(
    engine: Any,
    minibatches: Sequence[Sequence[Sequence[R]]],
    loss: Callable[[Sequence[R]], Tensor],
    *,
    plain: bool,
    ranks: Ranks,
) -> Steps:
    """One optimizer step per minibatch, on `loss` [] of its micro-batches.

    Rows are weighted by the whole minibatch: its loss is the sum over micro-batches and ranks.
    """
    losses, norms = [], []
    for microbatches in minibatches:
        losses.append(accumulate(engine, microbatches, loss, ranks.world_size))
        norms.append(optimizer_step(engine, plain))
    return Steps(
        loss=sum(reduced(losses, dist.ReduceOp.SUM, ranks.device)) / len(losses),
        grad_norm=sum(norms) / len(norms),
        num_skipped=float(sum(not math.isfinite(norm) for norm in norms)),
    )


def accumulate(
    engine: Any,
    microbatches: Sequence[Sequence[R]],
    loss: Callable[[Sequence[R]], Tensor],
    num_ranks: int,
) -> float:
    """Adds the gradients of a minibatch; returns this rank's part of its loss."""
    engine.train()
    total = 0.0
    for number, rows in enumerate(microbatches, start=1):
        engine.set_gradient_accumulation_boundary(number == len(microbatches))
        part = loss(rows)
        # ZeRO averages gradients over ranks; row weights already divide by the whole batch.
        engine.backward(part * num_ranks)
        total += part.item()
    return total


def optimizer_step(engine: Any, plain: bool) -> float:
    """The optimizer step on the accumulated gradients; returns their norm before clipping.

    A gradient that is not finite is dropped: weights and optimizer stay as they are. ZeRO's and
    bfloat16's optimizers do so themselves and report the norm inf; the `plain` one would write NaN
    into every weight.
    """
    norm = gradient_norm(engine) if plain else 0.0
    if math.isfinite(norm):
        engine.step()
    else:
        engine.zero_grad()
    return norm if plain else float(engine.get_global_grad_norm())


def gradient_norm(engine: Any) -> float:
    """Norm of whole gradients; DeepSpeed's plain optimizer (stage 0) does not report it."""
    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack([g.double().norm() for g in gradients])))
