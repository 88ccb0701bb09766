"""Memory of the learner and of the engine, in bytes: estimates from shapes, before anything loads.

ZeRO (arXiv:1910.02054) divides optimizer state over the ranks from stage 1, gradients from stage 2
and parameters from stage 3.
"""

from dataclasses import dataclass, fields

from rl.cli.shapes import Shapes
from rl.config import LearnerConfig

FP32 = 4
ACTIVATION_VALUES = 17
"""Values that a layer keeps per token and hidden unit for its backward pass: 34 bytes in 16 bits
(arXiv:2205.05198, section 4.1), without the attention scores, which are recomputed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnerMemory:
    """Bytes on one rank."""

    parameters: float
    gradients: float
    optimizer: float
    reference: float
    activations: float
    logits: float

    @property
    def total(self) -> float:
        return float(sum(getattr(self, field.name) for field in fields(self)))


def learner_memory(
    shapes: Shapes, learner: LearnerConfig, num_ranks: int, with_reference: bool
) -> LearnerMemory:
    """The estimate for one of `num_ranks` ranks; `with_reference` adds a frozen copy for the KL."""
    whole = shapes.num_parameters
    trained = lora_parameters(shapes, learner.lora.rank) if learner.lora.rank else whole
    stage = learner.zero_stage
    return LearnerMemory(
        parameters=shapes.bytes_per_value * whole / (num_ranks if stage >= 3 else 1),
        gradients=FP32 * trained / (num_ranks if stage >= 2 else 1),
        optimizer=optimizer_bytes(shapes) * trained / (num_ranks if stage >= 1 else 1),
        reference=shapes.bytes_per_value * whole / num_ranks if with_reference else 0.0,
        activations=activation_bytes(
            shapes, learner.max_tokens_per_microbatch, learner.gradient_checkpointing
        ),
        logits=logit_bytes(shapes, learner.logprob_chunk_tokens),
    )


def optimizer_bytes(shapes: Shapes) -> int:
    """Adam's two moments per parameter, and an fp32 copy of the parameter when it is in 16 bits."""
    return (2 if shapes.bytes_per_value == FP32 else 3) * FP32


def lora_parameters(shapes: Shapes, rank: int) -> int:
    """Adapters on a layer's seven linear maps; the feed-forward width is taken as four hidden."""
    attention = 4 * 2 * shapes.hidden_size
    feed_forward = 3 * 5 * shapes.hidden_size
    return rank * shapes.num_layers * (attention + feed_forward)


def activation_bytes(shapes: Shapes, num_tokens: int, checkpointing: bool) -> int:
    """What a forward pass over `num_tokens` keeps; checkpointing keeps inputs and one layer."""
    per_layer = num_tokens * shapes.hidden_size * shapes.bytes_per_value
    if checkpointing:
        return per_layer * (shapes.num_layers + ACTIVATION_VALUES)
    return per_layer * shapes.num_layers * ACTIVATION_VALUES


def logit_bytes(shapes: Shapes, chunk_tokens: int) -> int:
    """Logits of one chunk and their gradient, in fp32: the batch never has logits as a whole."""
    return 2 * FP32 * chunk_tokens * shapes.vocab_size


def engine_weight_bytes(shapes: Shapes) -> int:
    """One replica's copy of the weights."""
    return shapes.num_parameters * shapes.bytes_per_value
