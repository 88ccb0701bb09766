"""The seam between the learner and the engines' weights: named buckets, one cycle per version."""

import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, Protocol

from rollout.drafting.acceptance import Acceptance
from rollout.engine import MortalEngine
from rollout.prompt_tokens import PromptTokens

if TYPE_CHECKING:
    from torch import Tensor

NamedTensors = Sequence[tuple[str, "Tensor"]]
"""One bucket: checkpoint names (those of the Hugging Face model) with whole tensors."""


BLOCK = re.compile(r"(.+?\.\d+\.[^.]+)\.")
"""`model.layers.3.mlp.` of `model.layers.3.mlp.experts.0.up_proj.weight`."""


def layer_of(name: str) -> str:
    """The part of a model that engines may keep fused, by the checkpoint name of a tensor in it.

    That is a block's attention, its MLP with all experts, or one of its norms; outside of blocks a
    module. An engine that fuses tensors (q, k and v; gate and up) can only take all of them anew.
    """
    block = BLOCK.match(name)
    return block[1] if block else name.rpartition(".")[0]


class Transfer(Protocol):
    """Carries one version of the weights to every engine: start, send bucket after bucket, finish.

    Where an engine drafts with a model that learns, its weights follow the policy's in the same
    cycle, after `turn_to_drafter`. Called on rank 0 only, from the learner's thread; every call
    blocks until the engines have taken what was sent, so that a bucket's memory can be reused.
    """

    def start(self) -> bool:
        """Pauses generation (running requests are kept) and opens a cycle.

        True when every engine holds what the last cycle of this transfer installed, so that what
        has not changed since need not be sent; whoever changes a part of a layer sends all of it
        (`layer_of`). False for an engine that is new, or whose last cycle was not finished.
        """
        ...

    def send(self, bucket: NamedTensors) -> None: ...

    def turn_to_drafter(self) -> None:
        """What is sent from here to `finish` are weights of the engines' draft model."""
        ...

    def finish(self, version: int) -> None:
        """Installs the weights, drops caches computed from the old ones, resumes as `version`."""
        ...


class HeldTransfer(Transfer, Protocol):
    """A `Transfer` that holds memory or a process group until it is closed."""

    def close(self) -> None:
        """Gives them back, whether or not the engine still lives."""
        ...


class PolicyEngine(MortalEngine, Protocol):
    """An engine whose weights follow a learner's; what the `rollout` group builds."""

    def start_transfer(self, bucket_mib: int) -> HeldTransfer:
        """The transfer that suits the engine; close it before the engine."""
        ...

    def fingerprints(self) -> "dict[str, Tensor]":
        """What `rollout.fingerprint.stale_parameters` compares with the learner's. Blocks."""
        ...

    def draft_acceptance(self) -> Acceptance:
        """What became of drafts since the last call, where the drafter is counted. Blocks."""
        ...

    def prompt_tokens(self) -> PromptTokens:
        """The prompts that were answered since the last call; none of an engine without a cache
        of them, or that does not say what it found there."""
        ...

    def admit_together(self) -> None:
        """From now on, requests that start together join together, so that a step repeats."""
        ...

    def rest(self) -> AbstractContextManager[None]:
        """Until the block ends, the memory of GPUs that engine and learner share is the learner's.

        Nothing is sampled or sent meanwhile; requests are kept. Elsewhere it does nothing. Blocks.
        """
        ...

    def shutdown(self) -> None:
        """`close` for callers that block; a second call does nothing."""
        ...
