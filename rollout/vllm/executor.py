"""vLLM's executor of worker processes, where a step is one question to a worker, not two or three.

vLLM's own asks for the forward pass, for the sampled tokens and, with speculation, for the drafts
that follow them, and waits each time for another process to be woken: 0.4 to 0.7 ms of a step of
3.5 ms on the lab's model, more where cores are few. On the CPU its steps are always apart like
this; on one GPU the worker lives in the engine's own process, and nothing is asked.
"""

from concurrent.futures import Future
from typing import TYPE_CHECKING, Any

from vllm import envs
from vllm.v1.executor.multiproc_executor import MultiprocExecutor

if TYPE_CHECKING:
    from vllm.v1.core.sched.output import SchedulerOutput
    from vllm.v1.outputs import DraftTokenIds, ModelRunnerOutput


class WholeStepExecutor(MultiprocExecutor):
    """For workers with `WorkerExtension`; vLLM takes it as `distributed_executor_backend`.

    Steps are not scheduled ahead of the one that runs, and answers are free: what a grammar would
    mask between forward pass and sampling goes vLLM's own way.
    """

    _drafts: "DraftTokenIds | None" = None

    @classmethod
    def supports_async_scheduling(cls) -> bool:
        return False

    def execute_model(
        self, scheduler_output: "SchedulerOutput", non_block: bool = False
    ) -> "ModelRunnerOutput | Future[ModelRunnerOutput | None] | None":
        """The step's sampled tokens at once, where vLLM's own answers None and is asked again."""
        if scheduler_output.has_structured_output_requests:
            return super().execute_model(scheduler_output, non_block)
        output, self._drafts = self.collective_rpc(
            "laconic_step",
            args=(scheduler_output,),
            unique_reply_rank=self.output_rank,
            timeout=envs.VLLM_EXECUTE_MODEL_TIMEOUT_SECONDS,
        )
        if not non_block:
            return output
        answered: Future[Any] = Future()
        answered.set_result(output)
        return answered

    def sample_tokens(self, grammar_output: Any, non_block: bool = False) -> Any:
        """Asked only behind a forward pass under a grammar; its drafts are asked for there too."""
        output = super().sample_tokens(grammar_output)
        self._drafts = super().take_draft_token_ids()
        return output

    def take_draft_token_ids(self) -> "DraftTokenIds | None":
        """The drafts that follow the step just taken; None without speculation."""
        return self._drafts
