"""DeepSpeed engines: the one that trains the policy, and the one that partitions a frozen copy."""

from typing import Any

import torch
from torch import nn

from rl.config import LearnerConfig
from rl.learner.model import decay_groups


def deepspeed_config(learner: LearnerConfig, dtype: str) -> dict[str, Any]:
    """What DeepSpeed is told: stage, precision, clipping. Accumulation is steered by hand."""
    config: dict[str, Any] = {
        "train_micro_batch_size_per_gpu": 1,
        "gradient_accumulation_steps": 1,
        "gradient_clipping": learner.max_grad_norm,
        "zero_optimization": {"stage": learner.zero_stage},
        # Any torch optimizer is one that DeepSpeed has not tested.
        "zero_allow_untested_optimizer": True,
        "steps_per_print": None,
    }
    if dtype == "bfloat16":
        config |= {"bf16": {"enabled": True}, "communication_data_type": "fp32"}
    if dtype == "bfloat16" and learner.zero_stage > 0:
        # Without ZeRO, DeepSpeed only accumulates in the parameters' own precision.
        config["data_types"] = {"grad_accum_dtype": "fp32"}
    return config


def train_engine(policy: nn.Module, learner: LearnerConfig, dtype: str) -> Any:
    """A DeepSpeed engine around `policy` with torch's AdamW; the rate is set at every step."""
    import deepspeed

    optimizer = torch.optim.AdamW(
        decay_groups(policy, learner.weight_decay),
        lr=learner.learning_rate,
        betas=(learner.adam_beta1, learner.adam_beta2),
        fused=True,
    )
    engine, *_ = deepspeed.initialize(
        model=policy, optimizer=optimizer, config=deepspeed_config(learner, dtype)
    )
    return engine


def frozen_engine(policy: nn.Module, learner: LearnerConfig, dtype: str) -> Any:
    """`policy` without an optimizer, its parameters partitioned over the ranks (stage 3)."""
    import deepspeed

    engine, *_ = deepspeed.initialize(model=policy, config=deepspeed_config(learner, dtype))
    return engine


def gradient_norm(engine: Any) -> float:
    """Norm of whole gradients; DeepSpeed's plain optimizer (stage 0) does not report it."""
    gradients = [p.grad for p in engine.module.parameters() if p.grad is not None]
    return float(torch.linalg.vector_norm(torch.stack([g.double().norm() for g in gradients])))
