"""The vLLM engine: `AsyncLLM` on a background event loop, one code for CPU and CUDA.

`rollout.vllm.start.start_engine` makes one; the weights come through `rollout.vllm.transfer`.
"""

import asyncio
import atexit
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from torch import Tensor

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.config import Placement
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineError, EngineLost, Sampling
from rollout.prompt_tokens import PromptTokens
from rollout.transfer import HeldTransfer
from rollout.vllm.admission import Admission
from rollout.vllm.fingerprint import unpacked_fingerprints
from rollout.vllm.processes import EngineProcesses
from rollout.vllm.requests import acceptance_of, completion_of, sampling_parameters

if TYPE_CHECKING:
    from vllm.outputs import CompletionOutput
    from vllm.v1.engine.async_llm import AsyncLLM

ABORT_SECONDS = 0.001
"""Between two attempts to end a request."""


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
        processes: EngineProcesses,
        keeps_cache: bool = False,
    ) -> None:
        self.loop = loop
        self.keeps_cache = keeps_cache
        self.placement = placement
        self.devices = tuple(devices)
        self._llm: AsyncLLM | None = llm
        self._name = name
        self._max_model_tokens = max_model_tokens
        self._weight_version = weight_version
        self._processes = processes
        self._running: set[asyncio.Task[Any]] = set()
        self._asked: set[str] = set()
        self._tokens_answered = 0
        self._prompt_tokens = PromptTokens()
        self._drafts = Acceptance()
        self._lost = ""
        self._admission: Admission | None = None

    @property
    def name(self) -> str:
        return self._name

    @property
    def weight_version(self) -> int:
        return self._weight_version

    @property
    def llm(self) -> "AsyncLLM":
        """vLLM's engine. Raises `EngineError` once closed, `EngineLost` once killed."""
        if self._llm is None:
            raise self._ended()
        return self._llm

    @property
    def tokens_received(self) -> int:
        """See `MortalEngine.tokens_received`: read where vLLM's frontend keeps what it was sent.

        Completions are delivered whole, but every token reaches the frontend with its step; so
        asking costs the engine nothing, and a frontend that hears nothing cannot say otherwise.
        """
        if self._llm is None:
            return self._tokens_answered
        states: Any = self._llm.output_processor.request_states.values()
        unfinished = (int(state.detokenizer.num_output_tokens()) for state in states)
        return self._tokens_answered + sum(unfinished)

    @property
    def death(self) -> str:
        """See `MortalEngine.death`."""
        death = "" if self._llm is None else self._processes.death()
        return death and self._processes.quoted(death)

    def admit_together(self) -> None:
        """From now on, requests that start together are scheduled together (`Admission`)."""
        self._admission = Admission(self.llm)

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
        self._asked.add(sampling.id)
        try:
            with self.exchange():
                output = await self._final_output(prompt, sampling)
        except asyncio.CancelledError:
            if self._llm is not None:
                # vLLM forgets a request that is cancelled while it is being added.
                await self._llm.abort(sampling.id)
            raise
        finally:
            self._asked.discard(sampling.id)
        self._tokens_answered += len(output.token_ids)
        self._drafts.add(acceptance_of(output))
        return completion_of(output, sampling, self._weight_version)

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`; may be awaited on any event loop."""
        if not self.loop.is_current and self._llm is not None:
            return await asyncio.wrap_future(self.loop.submit(self.abort(request_id)))
        # vLLM knows of a request only when it holds it: until then there is nothing to end.
        while request_id in self._asked and self._llm is not None:
            await self._llm.abort(request_id)
            await asyncio.sleep(ABORT_SECONDS)

    @contextmanager
    def exchange(self) -> Iterator[None]:
        """Around waiting for vLLM's processes: when they end meanwhile, says so in our words.

        vLLM fails the requests of an engine that died but lets other calls wait for ever; `kill`
        and `close` cancel them, which is turned into `EngineLost` and `EngineError` here.
        """
        task = asyncio.current_task()
        assert task is not None
        outermost = task not in self._running
        self._running.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._llm is None and task.uncancel() == 0:
                raise self._ended() from None
            raise
        except EngineError:
            raise
        except Exception as error:
            # vLLM's errors go without their traceback, whose frames would keep it alive.
            if self._llm is None:
                task.uncancel()
                raise self._ended() from error.with_traceback(None)
            if self._llm.errored:
                what = self.death or self._processes.quoted(f"{self._name}: {error}")
                raise EngineLost(what) from error.with_traceback(None)
            raise
        finally:
            if outermost:
                self._running.discard(task)

    def _ended(self) -> EngineError:
        if self._lost:
            return EngineLost(self._lost)
        return EngineError(f"{self._name} is closed; start another one")

    async def _final_output(self, prompt: Prompt, sampling: Sampling) -> "CompletionOutput":
        from vllm.exceptions import VLLMError
        from vllm.inputs import tokens_input
        from vllm.v1.engine.exceptions import EngineDeadError

        if self._admission is not None:
            await self._admission.join()
        try:
            stream = self.llm.generate(
                # The salt keeps it from the keys and values of other weights.
                tokens_input(prompt.token_ids.tolist(), cache_salt=str(self._weight_version)),
                sampling_parameters(sampling),
                sampling.id,
                priority=sampling.priority,
            )
            outputs = [output async for output in stream]
        except EngineDeadError:
            raise
        except (VLLMError, ValueError) as error:
            # Without its traceback, whose frames would keep vLLM alive past its shutdown.
            raise EngineError(
                f"vLLM failed on request {sampling.id}: {error}"
            ) from error.with_traceback(None)
        final = outputs[-1]
        self._prompt_tokens.asked += len(prompt.token_ids)
        self._prompt_tokens.cached += final.num_cached_tokens or 0
        return final.outputs[0]

    async def call(self, method: str, **arguments: Any) -> list[Any]:
        """Calls a method of every worker; raises `EngineError` when one fails."""
        try:
            with self.exchange():
                return list(await self.llm.collective_rpc(method, kwargs=arguments))
        except EngineError:
            raise
        except Exception as error:
            raise EngineError(f"{self._name}: {method} failed: {error}") from error

    def start_transfer(self, bucket_mib: int) -> HeldTransfer:
        from rollout.vllm.transfer import start_transfer

        return start_transfer(self, bucket_mib)

    def fingerprints(self) -> dict[str, Tensor]:
        return unpacked_fingerprints(self.loop.run(self.call("laconic_fingerprints"))[0])

    def draft_acceptance(self) -> Acceptance:
        """See `PolicyEngine.draft_acceptance`; of several GPUs' engines, that of the first.

        Our own drafter counts step by step, vLLM's draft model with each completion that ends.
        """
        return self.loop.run(self._take_acceptance())

    async def _take_acceptance(self) -> Acceptance:
        found = Acceptance(**(await self.call("laconic_draft_acceptance"))[0])
        found.add(self._drafts)
        self._drafts = Acceptance()
        return found

    def prompt_tokens(self) -> PromptTokens:
        taken, self._prompt_tokens = self._prompt_tokens, PromptTokens()
        return taken

    @contextmanager
    def rest(self) -> Iterator[None]:
        """See `PolicyEngine.rest`: vLLM sleeps, its weights on the host and its cache given up.

        After a learner that failed it stays asleep: there is no memory to wake up in.
        """
        if self.placement is not Placement.shared:
            yield
            return
        self.loop.run(self.llm.sleep(level=1, mode="keep"))
        yield
        self.loop.run(self.llm.wake_up())

    async def kill(self, why: str) -> None:
        """See `MortalEngine.kill`."""
        if self._llm is not None:
            self._lost = why
            self._processes.kill()
            await self._release()

    async def close(self) -> None:
        if not self.loop.is_current:
            return await asyncio.wrap_future(self.loop.submit(self.close()))
        if self._llm is not None:
            await self._release()

    async def _release(self) -> None:
        # vLLM's destructor must not run after the interpreter has begun to take modules down.
        llm, self._llm, self._admission = self._llm, None, None
        assert llm is not None
        atexit.unregister(self.shutdown)
        for task in tuple(self._running):
            task.cancel()
        await asyncio.sleep(0)
        llm.shutdown()

    def shutdown(self) -> None:
        """`close` for callers that block; also runs before the interpreter exits."""
        if self._llm is not None and not self.loop.closed:
            self.loop.run(self.close())
