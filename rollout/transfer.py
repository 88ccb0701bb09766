"""The seam between the learner and the engines' weights: named buckets, one cycle per version."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

from rollout.drafting.acceptance import Acceptance
from rollout.engine import MortalEngine

if TYPE_CHECKING:
    from torch import Tensor

NamedTensors = Sequence[tuple[str, "Tensor"]]
"""One bucket: checkpoint names (those of the Hugging Face model) with whole tensors."""


class Transfer(Protocol):
    """Carries one version of the weights to every engine: start, send bucket after bucket, finish.

    Called on rank 0 only, from the learner's thread; every call blocks until the engines have taken
    what was sent, so that a bucket's memory can be reused.
    """

    def start(self) -> None:
        """Pauses generation (running requests are kept) and opens a cycle."""
        ...

    def send(self, bucket: NamedTensors) -> None: ...

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
        """What became of the drafts from history since the last call. Blocks."""
        ...

    def admit_together(self) -> None:
        """From now on, requests that start together join together, so that a step repeats."""
        ...

    def shutdown(self) -> None:
        """`close` for callers that block; a second call does nothing."""
        ...
