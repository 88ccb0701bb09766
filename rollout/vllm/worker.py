"""What vLLM's workers answer to us, called by `collective_rpc` (vLLM's worker extension).

vLLM adds this class to its worker's bases; names begin with `laconic_` so that they cannot clash.
"""

from typing import TYPE_CHECKING, Any

from rollout.vllm.fingerprint import model_fingerprints
from rollout.vllm.patches import expand_problem

if TYPE_CHECKING:
    from torch import nn


class WorkerExtension:
    """Methods of ours on a vLLM worker; `get_model` is the worker's."""

    if TYPE_CHECKING:

        def get_model(self) -> "nn.Module": ...

    def laconic_speculation_problem(self) -> str:
        """Why drafts would be verified wrongly in this process; empty when they are not."""
        from vllm.v1.sample import rejection_sampler

        return expand_problem(rejection_sampler.expand_batch_to_tokens)

    def laconic_fingerprints(self) -> dict[str, Any]:
        """Per checkpoint name the fingerprint's float32 values as bytes."""
        fingerprints = model_fingerprints(self.get_model())
        return {name: value.numpy().tobytes() for name, value in fingerprints.items()}
