"""Memory of the learner and of the engine, in bytes: estimates from shapes, before anything loads.

ZeRO (arXiv:1910.02054) divides optimizer state over the ranks from stage 1, gradients from stage 2
and parameters from stage 3.
"""

from dataclasses import dataclass, fields

from rl.cli.shapes import Shapes
from rl.config import BUCKET_VALUES, LearnerConfig, Offload

FP32 = 4
LOGIT_COPIES = 3
"""Scaled logits, log-probs and entropy terms of one chunk; measured with 50,000 tokens of
vocabulary: 2.9 in fp32, 3.6 where the model computes in 16 bits. The gradient of an entropy bonus
takes about one more, which is not counted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerMemory:
    """Bytes on one rank."""

    parameters: float
    gradients: float
    optimizer: float
    buckets: float
    """In which ZeRO reduces the gradients of policy and critic (`rl.learner.engine`)."""
    reference: float
    critic: float
    """Its own parameters, gradients and optimizer; activations are those of one model at a time."""
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return float(sum(getattr(self, field.name) for field in fields(self)))


def learner_memory(
    shapes: Shapes,
    learner: LearnerConfig,
    num_ranks: int,
    with_reference: bool,
    with_critic: bool,
) -> LearnerMemory:
    """The estimate for one of `num_ranks` ranks.

    `with_reference` adds a frozen copy for the KL, `with_critic` a second model that trains: a
    critic with a backbone of its own. It has no output matrix, which is not taken off.
    """
    whole = shapes.num_parameters
    trained = lora_parameters(shapes, learner.lora.rank) if learner.lora.rank else whole
    stage = learner.zero_stage
    parameters = shapes.bytes_per_value / (num_ranks if stage >= 3 else 1)
    gradients = FP32 / (num_ranks if stage >= 2 else 1)
    optimizer = optimizer_bytes(shapes) / (num_ranks if stage >= 1 else 1)
    return LearnerMemory(
        parameters=parameters * whole,
        gradients=gradients * trained,
        optimizer=optimizer * trained,
        buckets=(bucket_bytes(trained) + with_critic * bucket_bytes(whole)) if stage else 0.0,
        reference=shapes.bytes_per_value * whole / num_ranks if with_reference else 0.0,
        critic=(parameters + gradients + optimizer) * whole if with_critic else 0.0,
        activations=activation_bytes(
            shapes, learner.max_tokens_per_microbatch, learner.gradient_checkpointing
        ),
        logits=logit_bytes(shapes, learner.logprob_chunk_tokens),
    )


def bucket_bytes(num_trained: int) -> int:
    """A ZeRO engine's bucket for gradients, which are reduced in fp32."""
    return FP32 * min(BUCKET_VALUES, num_trained)


def host_bytes(memory: LearnerMemory, offload: Offload) -> float:
    """How much of `memory` lies in the host's: with Adam's state, the gradients that it steps on.

    A critic's and a reference's share, and the pieces that come back for a layer, are not counted.
    """
    if offload is Offload.none:
        return 0.0
    states = memory.gradients + memory.optimizer
    return states + memory.parameters if offload is Offload.all else states


def optimizer_bytes(shapes: Shapes) -> int:
    """Adam's two moments per parameter, and an fp32 copy of the parameter when it is in 16 bits."""
    return (2 if shapes.bytes_per_value == FP32 else 3) * FP32


def lora_parameters(shapes: Shapes, rank: int) -> int:
    """Adapters on a layer's seven linear maps, keys and values as wide as the hidden size."""
    attention = 4 * 2 * shapes.hidden_size
    feed_forward = 3 * (shapes.hidden_size + shapes.intermediate_size)
    return rank * shapes.num_layers * (attention + feed_forward)


def layer_values(shapes: Shapes) -> int:
    """Values that a layer keeps per token for its backward pass.

    Counted on transformers' Qwen2: five of the hidden size around each of two norms, keys and
    values, and four of the feed-forward width (gate, its activation, up, their product). The
    attention scores are recomputed.
    """
    keys_and_values = 2 * shapes.num_kv_heads * shapes.head_dim
    return 10 * shapes.hidden_size + keys_and_values + 4 * shapes.intermediate_size


def activation_bytes(shapes: Shapes, num_tokens: int, checkpointing: bool) -> int:
    """The peak over forward and backward pass of `num_tokens`; checkpointing keeps layer inputs.

    Beside what is kept, the backward pass holds two gradients of the feed-forward width.
    """
    layer, gradients = layer_values(shapes), 2 * shapes.intermediate_size
    if checkpointing:
        kept = shapes.num_layers * shapes.hidden_size + layer
    else:
        kept = shapes.num_layers * layer
    return num_tokens * (kept + gradients) * shapes.bytes_per_value


def logit_bytes(shapes: Shapes, chunk_tokens: int) -> int:
    """Logits of one chunk in fp32, in each of their forms; the batch never has them as a whole."""
    copies = LOGIT_COPIES if shapes.bytes_per_value == FP32 else LOGIT_COPIES + 1
    return copies * FP32 * chunk_tokens * shapes.vocab_size


def engine_weight_bytes(shapes: Shapes) -> int:
    """One replica's copy of the weights."""
    return shapes.num_parameters * shapes.bytes_per_value
