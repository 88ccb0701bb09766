"""What vLLM's `/inference/v1/generate` takes and streams: pure conversions, without I/O.

A completion comes in lots of tokens, one line of server-sent events each, the last with the finish
reason and with the weight version of every token. Log-probs are exact: JSON writes the shortest
decimal that reads back as the same number.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import numpy as np

from data.types import Completion, Prompt, Span
from rollout.engine import EngineError, Sampling
from rollout.vllm.requests import FINISHES

DATA = b"data: "
DONE = b"[DONE]"


class _LogProb(msgspec.Struct):
    logprob: float


class _LogProbs(msgspec.Struct):
    content: list[_LogProb]


class _Version(msgspec.Struct):
    version: str
    start: int
    end: int


class _Choice(msgspec.Struct):
    token_ids: list[int]
    text: str = ""
    finish_reason: str | None = None
    logprobs: _LogProbs | None = None
    weight_versions: list[_Version] | None = None


class _Event(msgspec.Struct):
    choices: list[_Choice] = []
    error: dict[str, Any] | None = None


def request_body(prompt: Prompt, sampling: Sampling) -> dict[str, Any]:
    """The request's JSON: as `rollout.vllm.engine.sampling_parameters`, one lot after another."""
    return {
        "request_id": sampling.id,
        "token_ids": prompt.token_ids.tolist(),
        "sampling_params": {
            "max_tokens": sampling.limit,
            "temperature": sampling.temperature,
            "top_p": sampling.top_p,
            "seed": sampling.seed,
            "logprobs": 0,
        },
        "priority": sampling.priority,
        "output_mode": "text",
        "stream": True,
    }


@dataclass(slots=True)
class Lots:
    """Puts the lots of one completion together; `finish` is empty until the last has come."""

    finish: str = ""
    _texts: list[str] = field(default_factory=list)
    _token_ids: list[int] = field(default_factory=list)
    _logprobs: list[float] = field(default_factory=list)
    _versions: Sequence[_Version] = ()

    def add(self, line: bytes) -> int:
        """Takes one line of the stream; returns the tokens in it. Raises `EngineError` for an
        error that vLLM sends in place of a lot."""
        payload = line.removeprefix(DATA).strip()
        if not line.startswith(DATA) or payload == DONE:
            return 0
        event = msgspec.json.decode(payload, type=_Event)
        if event.error is not None:
            raise EngineError(f"vLLM failed on a request: {event.error.get('message')}")
        return sum(self._take(choice) for choice in event.choices)

    def completion(self, sampling: Sampling, version: int) -> Completion:
        """The whole, whose last lot must have come; one aborted before its first token gets an
        empty span of `version`."""
        finish = FINISHES.get(self.finish)
        if finish is None:
            raise EngineError(f"vLLM ended request {sampling.id} with finish_reason={self.finish}")
        spans = [
            Span(start=each.start, stop=each.end, weight_version=int(each.version))
            for each in self._versions
            if each.end > each.start
        ]
        return Completion(
            id=sampling.id,
            text="".join(self._texts),
            token_ids=np.array(self._token_ids, np.int32),
            logprobs=np.array(self._logprobs, np.float32),
            limit=sampling.limit,
            finish=finish,
            spans=tuple(spans) or (Span(start=0, stop=0, weight_version=version),),
        )

    def _take(self, choice: _Choice) -> int:
        self._texts.append(choice.text)
        self._token_ids += choice.token_ids
        self._logprobs += (
            [each.logprob for each in choice.logprobs.content] if choice.logprobs else []
        )
        self._versions = choice.weight_versions or self._versions
        self.finish = choice.finish_reason or self.finish
        return len(choice.token_ids)
