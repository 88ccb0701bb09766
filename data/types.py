"""The value types that every package speaks: prompts, completions, groups, verdicts, scores.

A prompt is sampled G times; the completions of one prompt form a group. A verifier judges each
completion (`Verdict`), a reward turns the judged groups of one update into scores (`Score`).

All types are frozen; their arrays are read-only NumPy. They travel as msgpack (`data.wire`).
"""

from dataclasses import dataclass, field
from enum import StrEnum
from hashlib import blake2b
from typing import Any

import msgspec
import numpy as np
from numpy.typing import NDArray

from data.config import BudgetKind

Message = dict[str, str]
"""One chat message: `{"role": ..., "content": ...}`."""

TokenIds = NDArray[np.int32]
LogProbs = NDArray[np.float32]


class Finish(StrEnum):
    """Why a completion ended, as the engine reported it; never guessed from the text."""

    STOP = "stop"
    """The policy emitted its end-of-sequence token."""
    LIMIT = "limit"
    """The completion reached the limit it was launched with: it is truncated."""
    WINDOW = "window"
    """The completion reached the end of a window and is continued in a later step."""
    REPETITION = "repetition"
    """The engine's repetition detection ended a loop."""
    ABORTED = "aborted"
    """The request was cancelled before it ended."""


class SpanKind(StrEnum):
    """Whether the policy sampled the tokens of a span or somebody put them there."""

    SAMPLED = "sampled"
    INJECTED = "injected"


@dataclass(frozen=True, slots=True, kw_only=True)
class Span:
    """Tokens [start, stop) of a completion that share one origin.

    One concept for weight versions, T-PPO windows, tree segments and tool turns. `parent` names
    the segment that this one continues, in a tree.
    """

    start: int
    stop: int
    kind: SpanKind = SpanKind.SAMPLED
    weight_version: int
    parent: str | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What a prompt asks for: `amount` tokens, or percent of effort, as `kind` says."""

    kind: BudgetKind
    amount: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Prompt:
    """A question, as the user wrote it and as the policy reads it.

    `token_ids` is the templated prompt [P_tokens], budget phrase included. `budget` is what that
    phrase asks for, None when there is none.
    """

    id: str
    messages: tuple[Message, ...]
    token_ids: TokenIds
    answer: str
    budget: Budget | None = None
    source: str = ""
    extra: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_ids", read_only(self.token_ids, np.int32))


@dataclass(frozen=True, slots=True, kw_only=True)
class Completion:
    """One sampled answer: text, token ids [T] and log-probs [T] of the sampled tokens.

    The log-probs are those of the distribution that was sampled from (temperature and nucleus
    applied). `limit` is the number of tokens that the completion was allowed when it was launched;
    it is judged by that limit, whatever the schedule says later.
    """

    id: str
    text: str
    token_ids: TokenIds
    logprobs: LogProbs
    limit: int
    finish: Finish
    spans: tuple[Span, ...]

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_ids", read_only(self.token_ids, np.int32))
        object.__setattr__(self, "logprobs", read_only(self.logprobs, np.float32))
        assert len(self.token_ids) == len(self.logprobs), "one log-prob per token"

    @property
    def num_tokens(self) -> int:
        """Length in sampled tokens, thinking and end-of-sequence included."""
        return sum(s.stop - s.start for s in self.spans if s.kind is SpanKind.SAMPLED)

    @property
    def truncated(self) -> bool:
        return self.finish is Finish.LIMIT

    @property
    def weight_versions(self) -> tuple[int, int]:
        """Oldest and newest weight version that sampled a token of this completion."""
        versions = [s.weight_version for s in self.spans if s.kind is SpanKind.SAMPLED]
        return min(versions), max(versions)


@dataclass(frozen=True, slots=True, kw_only=True)
class Group:
    """The completions of one prompt that are compared with each other [G]."""

    prompt: Prompt
    completions: tuple[Completion, ...]

    @property
    def lengths(self) -> list[int]:
        return [c.num_tokens for c in self.completions]


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What the verifier found. `correct` is None when the grader failed: that is not 'wrong'.

    `parts` holds what the user's own functions made of the completion, by name.
    """

    correct: bool | None
    reason: str = ""
    parts: dict[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Score:
    """A completion's reward: `total`, and the named parts it was made of (e.g. `length`)."""

    correct: bool
    parts: dict[str, float]
    total: float


def prompt_id(source: str, messages: tuple[Message, ...]) -> str:
    """A stable name for a question: 16 hex digits of BLAKE2b over source and raw messages.

    Taken before chat template and budget phrase, so that it survives shuffling, epochs, restarts
    and resharding.
    """
    payload = msgspec.json.encode([source, list(messages)], order="sorted")
    return blake2b(payload, digest_size=8).hexdigest()


def read_only(values: Any, dtype: type[np.generic]) -> NDArray[Any]:
    """`values` as a contiguous array of `dtype` that refuses writes; a writable one is copied."""
    array = np.ascontiguousarray(values, dtype=dtype)
    if array.flags.writeable:
        array = array.copy()
        array.flags.writeable = False
    return array
