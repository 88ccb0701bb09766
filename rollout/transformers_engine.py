"""The transformers engine: continuous batching in this process, for machines without vLLM.

`rollout.transformers_start.start_engine` makes one. A thread of its own runs the batch step by
step. At the boundary between two steps requests join, ended ones are answered, and a weight
transfer may stop it and copy into the model's parameters.
"""

import asyncio
import atexit
import contextlib
import heapq
import itertools
import threading
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from torch import Tensor

from data.types import Completion, Prompt
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineError, EngineLost, Sampling
from rollout.fingerprint import fingerprint
from rollout.prompt_tokens import PromptTokens
from rollout.transfer import NamedTensors
from rollout.transformers_batch import Batch
from rollout.transformers_rows import Ended, Job, never_begun

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase


class TransformersEngine:
    """Samples completions with a transformers model in this process.

    Text leaves special tokens out, as vLLM's does. Requests that are made in one turn of an event
    loop join the batch together, so that a seeded step can be repeated.
    """

    def __init__(
        self,
        model: "PreTrainedModel",
        tokenizer: "PreTrainedTokenizerBase",
        *,
        end_ids: Sequence[int],
        max_num_seqs: int,
        max_model_tokens: int,
        weight_version: int,
        seed: int,
    ) -> None:
        self._tokenizer = tokenizer
        self._max_model_tokens = max_model_tokens
        self._batch = Batch(
            model,
            end_ids=end_ids,
            max_num_seqs=max_num_seqs,
            max_model_tokens=max_model_tokens,
            seed=seed,
            weight_version=weight_version,
        )
        self._parameters = dict(model.named_parameters(remove_duplicate=False))
        self._numbers = itertools.count()
        self._arriving: list[Job] = []
        self._waiting: list[tuple[int, int, Job]] = []
        self._answers: dict[Job, asyncio.Future[Ended]] = {}
        self._boundary = threading.Condition()
        self._stepping = self._paused = False
        self._refusal = ""
        self._death = ""
        self._killed = False
        self._tokens = 0
        self._thread = threading.Thread(target=self._run, name="transformers", daemon=True)
        self._thread.start()
        # A thread inside torch must not outlive the interpreter.
        atexit.register(self.shutdown)

    @property
    def name(self) -> str:
        import transformers

        return f"transformers {transformers.__version__}"

    @property
    def weight_version(self) -> int:
        return self._batch.weight_version

    @property
    def tokens_received(self) -> int:
        """See `MortalEngine.tokens_received`: one for every running row of each step."""
        return self._tokens

    @property
    def death(self) -> str:
        """See `MortalEngine.death`: what ended the thread."""
        return self._death

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; may be awaited on any event loop."""
        self._check_length(prompt, sampling)
        loop = asyncio.get_running_loop()
        job, answer = Job(prompt=prompt, sampling=sampling), loop.create_future()
        with self._boundary:
            if self._refusal:
                raise self._ended()
            self._arriving.append(job)
            self._answers[job] = answer
        loop.call_soon(self._deliver)
        try:
            ended = await answer
        except asyncio.CancelledError:
            job.cancelled = True
            raise
        text = self._tokenizer.decode(
            ended.token_ids, skip_special_tokens=True, clean_up_tokenization_spaces=False
        )
        return Completion(
            id=sampling.id,
            text=text,
            token_ids=ended.token_ids,
            logprobs=ended.logprobs,
            limit=sampling.limit,
            finish=ended.finish,
            spans=job.spans(len(ended.token_ids)),
        )

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`; a running request ends at the boundary of a step."""
        with self._boundary:
            for job in self._answers:
                job.aborted |= job.sampling.id == request_id
            for entry in [entry for entry in self._waiting if entry[-1].aborted]:
                self._waiting.remove(entry)
                self._answer(never_begun(entry[-1], self.weight_version))
            heapq.heapify(self._waiting)

    def admit_together(self) -> None:
        """Nothing to do: requests made in one turn of an event loop always join together."""

    def rest(self) -> contextlib.AbstractContextManager[None]:
        """Nothing to do: no memory is shared with the learner."""
        return contextlib.nullcontext()

    def start_transfer(self, bucket_mib: int) -> "InPlaceTransfer":
        """Buckets of any size are copied as they come: `bucket_mib` is the learner's alone."""
        return InPlaceTransfer(self)

    def fingerprints(self) -> dict[str, Tensor]:
        return {name: fingerprint(name, value) for name, value in self._parameters.items()}

    def draft_acceptance(self) -> Acceptance:
        """Nothing is drafted."""
        return Acceptance()

    def prompt_tokens(self) -> PromptTokens:
        """Nothing is kept of a prompt that is answered."""
        return PromptTokens()

    async def close(self) -> None:
        await asyncio.to_thread(self.shutdown)

    def shutdown(self) -> None:
        self._refuse(f"{self.name} is closed; start another one")
        if not self._killed:
            self._thread.join()
        atexit.unregister(self.shutdown)

    async def kill(self, why: str) -> None:
        """See `MortalEngine.kill`. A thread cannot be killed: one that hangs is left behind."""
        with self._boundary:
            self._killed = True
        self._refuse(why)
        self._fail_requests()

    def pause(self) -> None:
        """Waits for the boundary of a step and stops there. Blocks."""
        with self._boundary:
            self._paused = True
            self._boundary.wait_for(lambda: self._refusal or not self._stepping)
            if self._refusal:
                raise self._ended()

    def install(self, bucket: NamedTensors) -> None:
        """Copies tensors into the parameters of their names; only while paused."""
        assert self._paused, "weights change at a step boundary only"
        for name, tensor in bucket:
            parameter = self._parameters.get(name)
            if parameter is None or parameter.shape != tensor.shape:
                held = "no such parameter" if parameter is None else tuple(parameter.shape)
                raise EngineError(
                    f"weight transfer of {name} {tuple(tensor.shape)}: the engine's model has "
                    f"{held}; learner and engine must load the same model"
                )
            parameter.detach().copy_(tensor.detach())

    def resume(self, version: int) -> None:
        """Goes on as `version`; running requests are read again with the new weights."""
        self._batch.refresh(version)
        with self._boundary:
            self._paused = False
            self._boundary.notify_all()

    def _check_length(self, prompt: Prompt, sampling: Sampling) -> None:
        length = len(prompt.token_ids)
        if sampling.limit < 1 or not length or length + sampling.limit > self._max_model_tokens:
            raise EngineError(
                f"request {sampling.id}: {length} prompt tokens and a limit of {sampling.limit} do "
                f"not fit into {self._max_model_tokens}; raise rollout.max_prompt_tokens or "
                "limit.max_response_tokens"
            )

    def _deliver(self) -> None:
        """Hands over what arrived in this turn of the event loop, all of it at once."""
        with self._boundary:
            for job in self._arriving:
                heapq.heappush(self._waiting, (job.sampling.priority, next(self._numbers), job))
            self._arriving.clear()
            self._boundary.notify_all()

    def _run(self) -> None:
        """The thread: one step after the other until the engine is closed or fails."""
        try:
            while self._at_boundary():
                ended = self._batch.advance(self._arrivals())
                self._tokens += len(self._batch.jobs) + len(ended)
                for one in ended:
                    self._answer(one)
        except Exception as error:
            # Whatever torch or the model raises: every request has to hear of it.
            self._death = f"{self.name} failed: {type(error).__name__}: {error}"
            self._refuse(self._death)
            self._at_boundary()
        self._fail_requests()

    def _fail_requests(self) -> None:
        with self._boundary:
            for answer in self._answers.values():
                _soon(answer, answer.set_exception, self._ended())

    def _ended(self) -> EngineError:
        """Why there are no further completions: the engine was closed, or is lost."""
        lost = self._killed or self._death
        return EngineLost(self._refusal) if lost else EngineError(self._refusal)

    def _at_boundary(self) -> bool:
        """Waits until there is something to do; False when the engine has ended."""
        with self._boundary:
            self._stepping = False
            self._boundary.notify_all()
            self._boundary.wait_for(
                lambda: (
                    self._refusal or (not self._paused and bool(self._batch.jobs or self._waiting))
                )
            )
            self._stepping = not self._refusal
            return self._stepping

    def _arrivals(self) -> list[Job]:
        """The requests that join now, those of low priority numbers first."""
        found: list[Job] = []
        with self._boundary:
            while self._waiting and len(found) < self._batch.room:
                job = heapq.heappop(self._waiting)[-1]
                if job.cancelled:
                    del self._answers[job]
                else:
                    found.append(job)
        return found

    def _answer(self, ended: Ended) -> None:
        with self._boundary:
            answer = self._answers.pop(ended.job)
        _soon(answer, answer.set_result, ended)

    def _refuse(self, reason: str) -> None:
        """The first reason stands."""
        with self._boundary:
            self._refusal = self._refusal or reason
            self._boundary.notify_all()


class InPlaceTransfer:
    """Copies the learner's weights into the engine's model, in this process.

    Tied tensors share their memory, so that one copy serves both.
    """

    def __init__(self, engine: TransformersEngine) -> None:
        self._engine = engine
        self._installed = False

    def start(self) -> bool:
        installed, self._installed = self._installed, False
        self._engine.pause()
        return installed

    def send(self, bucket: NamedTensors) -> None:
        self._engine.install(bucket)

    def turn_to_drafter(self) -> None:
        raise AssertionError("this engine drafts nothing")

    def finish(self, version: int) -> None:
        self._engine.resume(version)
        self._installed = True

    def close(self) -> None:
        """Holds nothing."""


def _soon(
    answer: "asyncio.Future[Ended]", settle: Callable[[Any], None], value: Ended | EngineError
) -> None:
    """Settles `answer` on its own event loop, unless it was cancelled or its loop has ended."""

    def unless_done() -> None:
        if not answer.done():
            settle(value)

    with contextlib.suppress(RuntimeError):
        answer.get_loop().call_soon_threadsafe(unless_done)
