"""The vLLM engine: `AsyncLLM` on a background event loop, one code for CPU and CUDA.

`rollout.vllm.start.start_engine` makes one; the weights come through `rollout.vllm.transfer`.
"""

import asyncio
import atexit
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from torch import Tensor

from data.types import Completion, Finish, Prompt, Span
from rollout.background import BackgroundLoop
from rollout.config import Placement
from rollout.engine import EngineError, Sampling
from rollout.transfer import WeightTransfer

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput
    from vllm.v1.engine.async_llm import AsyncLLM

FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LIMIT,
    "repetition": Finish.REPETITION,
    "abort": Finish.ABORTED,
}


class VllmEngine:
    """Samples completions with vLLM; `llm`, `loop` and `call` are for the rest of this package.

    A completion's text is what vLLM decodes: special tokens, the end-of-sequence token among them,
    are left out, everything else (`\\boxed{}` and whitespace included) is kept as sampled.
    """

    def __init__(
        self,
        llm: "AsyncLLM",
        loop: BackgroundLoop,
        *,
        name: str,
        max_model_tokens: int,
        weight_version: int,
        placement: Placement,
        devices: Sequence[int] = (),
    ) -> None:
        self.loop = loop
        self.placement = placement
        self.devices = tuple(devices)
        self._llm: AsyncLLM | None = llm
        self._name = name
        self._max_model_tokens = max_model_tokens
        self._weight_version = weight_version
        self._running: set[asyncio.Task[Any]] = set()

    @property
    def name(self) -> str:
        return self._name

    @property
    def weight_version(self) -> int:
        return self._weight_version

    @property
    def llm(self) -> "AsyncLLM":
        """vLLM's engine. Raises `EngineError` once it is closed."""
        if self._llm is None:
            raise EngineError(f"{self._name} is closed; start another one")
        return self._llm

    def installed(self, version: int) -> None:
        """Records that the workers sample with `version` from now on (called by the transfer)."""
        self._weight_version = version

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; may be awaited on any event loop."""
        if not self.loop.is_current and self._llm is not None:
            return await asyncio.wrap_future(self.loop.submit(self.sample(prompt, sampling)))
        num_tokens = len(prompt.token_ids) + sampling.limit
        if sampling.limit < 1 or num_tokens > self._max_model_tokens:
            raise EngineError(
                f"request {sampling.id}: {len(prompt.token_ids)} prompt tokens and a limit of "
                f"{sampling.limit} do not fit into {self._max_model_tokens}; raise "
                "rollout.max_prompt_tokens or limit.max_response_tokens"
            )
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            output = await self._final_output(prompt, sampling)
        except asyncio.CancelledError:
            if self._llm is None and task.uncancel() == 0:
                raise EngineError(f"{self._name} was closed during {sampling.id}") from None
            if self._llm is not None:
                # vLLM forgets a request that is cancelled while it is being added.
                await self._llm.abort(sampling.id)
            raise
        finally:
            self._running.discard(task)
        return _completion(output, sampling, self._weight_version)

    async def _final_output(self, prompt: Prompt, sampling: Sampling) -> "CompletionOutput":
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input

        try:
            stream = self.llm.generate(
                tokens_input(prompt.token_ids.tolist()),
                sampling_parameters(sampling),
                sampling.id,
                priority=sampling.priority,
            )
            outputs = [output.outputs[0] async for output in stream]
        except (VLLMError, ValueError) as error:
            # Without its traceback, whose frames would keep vLLM alive past its shutdown.
            raise EngineError(
                f"vLLM failed on request {sampling.id}: {error}"
            ) from error.with_traceback(None)
        return outputs[-1]

    async def call(self, method: str, **arguments: Any) -> list[Any]:
        """Calls a method of every worker; raises `EngineError` when one fails."""
        try:
            return list(await self.llm.collective_rpc(method, kwargs=arguments))
        except Exception as error:
            raise EngineError(f"{self._name}: {method} failed: {error}") from error

    def start_transfer(self, bucket_mib: int) -> WeightTransfer:
        from rollout.vllm.transfer import start_transfer

        return start_transfer(self, bucket_mib)

    def fingerprints(self) -> dict[str, Tensor]:
        found = self.loop.run(self.call("laconic_fingerprints"))[0]
        return {
            name: torch.from_numpy(np.frombuffer(values, dtype=np.float32).copy())
            for name, values in found.items()
        }

    def sleep(self) -> None:
        """Gives the GPU's memory to the learner, where both share it; requests are kept. Blocks."""
        if self.placement is Placement.shared:
            self.loop.run(self.llm.sleep(level=1, mode="keep"))

    def wake(self) -> None:
        """Takes the GPU's memory back before a weight transfer or sampling. Blocks."""
        if self.placement is Placement.shared:
            self.loop.run(self.llm.wake_up())

    async def close(self) -> None:
        if not self.loop.is_current:
            return await asyncio.wrap_future(self.loop.submit(self.close()))
        if self._llm is None:
            return
        # vLLM's destructor must not run after the interpreter has begun to take modules down.
        llm, self._llm = self._llm, None
        atexit.unregister(self.shutdown)
        for task in tuple(self._running):
            task.cancel()
        await asyncio.sleep(0)
        llm.shutdown()

    def shutdown(self) -> None:
        """`close` for callers that block; also runs before the interpreter exits."""
        if self._llm is not None and not self.loop.closed:
            self.loop.run(self.close())


def sampling_parameters(sampling: Sampling) -> "SamplingParams":
    """vLLM's parameters of one request: the sampled token's log-prob only, one final output."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=sampling.limit,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        logprobs=0,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def _completion(output: "CompletionOutput", sampling: Sampling, version: int) -> Completion:
    finish = FINISHES.get(output.finish_reason or "")
    if finish is None:
        raise EngineError(
            f"vLLM ended request {sampling.id} with finish_reason={output.finish_reason}"
        )
    logprobs: Any = output.logprobs
    return Completion(
        id=sampling.id,
        text=output.text,
        token_ids=np.asarray(output.token_ids, dtype=np.int32),
        logprobs=np.asarray(logprobs.logprobs, dtype=np.float32),
        limit=sampling.limit,
        finish=finish,
        spans=_spans(output, version),
    )


def _spans(output: "CompletionOutput", version: int) -> tuple[Span, ...]:
    """vLLM's own record of which weights sampled which tokens; a request that was aborted before
    its first token gets one empty span of the current version."""
    recorded = [span for span in output.weight_versions or () if span.end > span.start]
    if not recorded:
        assert not output.token_ids, "vLLM labels every sampled token with a weight version"
        return (Span(start=0, stop=0, weight_version=version),)
    return tuple(
        Span(start=span.start, stop=span.end, weight_version=int(span.version)) for span in recorded
    )
