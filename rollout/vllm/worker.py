"""What vLLM's workers answer to us, called by `collective_rpc` (vLLM's worker extension).

vLLM adds this class to its worker's bases; names begin with `laconic_` so that they cannot clash.
"""

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.vllm.fingerprint import model_fingerprints, packed_fingerprints
from rollout.vllm.history_proposer import HistoryProposer
from rollout.vllm.patches import expand_problem, skip_empty_verification
from rollout.vllm.settings import worker_settings

if TYPE_CHECKING:
    from torch import nn
    from vllm.config import VllmConfig
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import DraftTokenIds, ModelRunnerOutput


class WorkerExtension:
    """Methods of ours on a vLLM worker, whose own the annotated names are."""

    if TYPE_CHECKING:
        model_runner: Any
        vllm_config: VllmConfig

        def get_model(self) -> "nn.Module": ...

        def execute_model(
            self, scheduler_output: "SchedulerOutput"
        ) -> "ModelRunnerOutput | None": ...

        def sample_tokens(self, grammar_output: None) -> "ModelRunnerOutput": ...

        def take_draft_token_ids(self) -> "DraftTokenIds | None": ...

    def laconic_step(
        self, scheduler_output: "SchedulerOutput"
    ) -> tuple["ModelRunnerOutput", "DraftTokenIds | None"]:
        """One step of the engine whose answers are free: what was sampled, and what to verify next.

        See `WholeStepExecutor`.
        """
        output = self.execute_model(scheduler_output) or self.sample_tokens(None)
        return output, self.take_draft_token_ids()

    def laconic_speculation_problem(self) -> str:
        """Why drafts would be verified wrongly in this process; empty when they are not."""
        from vllm.v1.sample import rejection_sampler

        return expand_problem(rejection_sampler.expand_batch_to_tokens)

    def laconic_skip_empty_verification(self) -> None:
        """Steps without drafts are sampled as without speculation from now on."""
        skip_empty_verification(self.model_runner)

    def laconic_start_history(self, settings: dict[str, Any]) -> None:
        """Drafts from history from now on; `settings` are those of `HistoryConfig`."""
        self.model_runner.drafter.start(self.model_runner, HistoryConfig(**settings))

    def laconic_new_weights(self, version: int) -> None:
        """The weights of `version` are installed; only drafting from history wants to know."""
        if proposer := self.laconic_proposer():
            proposer.new_weights(version)

    def laconic_draft_acceptance(self) -> dict[str, Any]:
        """The fields of `Acceptance` of our drafts, counted since the last call."""
        proposer = self.laconic_proposer()
        return asdict(proposer.take_acceptance() if proposer else Acceptance())

    def laconic_proposer(self) -> HistoryProposer | None:
        # vLLM's runner has a drafter with speculation only.
        drafter = getattr(self.model_runner, "drafter", None)
        return drafter if isinstance(drafter, HistoryProposer) else None

    def laconic_fingerprints(self) -> dict[str, str]:
        """Per checkpoint name the fingerprint's float32 values as base64, which JSON can carry."""
        return packed_fingerprints(model_fingerprints(self.get_model()))

    def laconic_settings(self) -> dict[str, Any]:
        """What this worker samples with (`Settings`), for a run that found it by its address."""
        return asdict(worker_settings(self.vllm_config))
