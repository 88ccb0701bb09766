"""The seam to whatever generates: one request in, one completion out.

The stream and the loop speak this protocol and never import an engine. vLLM, a replay of recorded
rollouts and the fake of the tests pass the same contract test (`tests/rollout/engine_contract.py`).
"""

from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Protocol

from data.types import Completion, Prompt


@dataclass(frozen=True, slots=True, kw_only=True)
class Sampling:
    """How one completion is sampled.

    `id` names the request and becomes the completion's id; it is never used twice in a run.
    `limit` is in new tokens. A request of lower `priority` runs first.
    """

    id: str
    limit: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    priority: int = 0


class Engine(Protocol):
    """Samples completions from the current policy weights."""

    @property
    def name(self) -> str:
        """What generates and its version, e.g. `vllm 0.32.0`."""
        ...

    @property
    def weight_version(self) -> int:
        """Version of the weights that samples the next token; 0 is the initial model."""
        ...

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """One completion of `prompt`, with the log-prob of every sampled token.

        Log-probs are of the distribution sampled from (temperature and nucleus applied).
        Cancelling the awaiting task aborts the request. Raises `EngineError` when the engine
        failed, `RequestLost` when the same may be asked again; a failed request is never returned
        as a completion.
        """
        ...

    async def close(self) -> None:
        """Ends the engine and its processes. Further requests raise `EngineError`."""
        ...


class InterruptibleEngine(Engine, Protocol):
    """An engine whose requests can be ended early, and which gives what it has of them."""

    async def abort(self, request_id: str) -> None:
        """Ends a request: its `sample` returns the tokens so far, with finish ABORTED.

        A request that had no turn yet has no tokens, and one that ends by itself meanwhile keeps
        its own finish. Ids of no running request change nothing.
        """
        ...


SampleGroup = Callable[[Engine, Prompt, Sequence[Sampling]], Sequence[Awaitable[Completion]]]
"""Starts the completions of one prompt: one awaitable per sampling, in their order."""


def independently(
    engine: Engine, prompt: Prompt, samplings: Sequence[Sampling]
) -> Sequence[Awaitable[Completion]]:
    """Every completion is a request of its own."""
    return [engine.sample(prompt, sampling) for sampling in samplings]


class MortalEngine(InterruptibleEngine, Protocol):
    """An engine in processes of its own, which can be watched and killed."""

    @property
    def tokens_received(self) -> int:
        """Tokens that have arrived so far, those of unfinished completions included."""
        ...

    @property
    def death(self) -> str:
        """How its processes ended by themselves; empty while they live."""
        ...

    async def kill(self, why: str) -> None:
        """Ends its processes, stopped ones too; what waits for them raises `EngineLost(why)`."""
        ...


class EngineError(RuntimeError):
    """The engine failed or refused a request; the message says what happened and what to set."""


class RequestLost(EngineError):
    """One request is lost and the engine serves on: ask again, under a fresh id."""


class EngineLost(EngineError):
    """The engine's processes are gone, and what they had not finished with them."""
