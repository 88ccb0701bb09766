"""Recording judged groups, and engines that sample them again.

A recording is a file of msgpack, each piece after its length in 4 bytes: first the settings that it
was made with, then batches. It lets learners of different shapes train on the same rollouts, and
bugs be looked at without an engine.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, TypeVar

import msgspec

from data.types import Completion, Prompt, Verdict
from data.wire import decode, encode
from rollout.engine import EngineError, Sampling
from rollout.stream import Judged

FORMAT = 1
"""Of the file; another one is refused."""

T = TypeVar("T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Header:
    """What a recording begins with: how it was made, by full key of the recipe."""

    format: int
    settings: dict[str, Any]


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The judged groups of one update."""

    step: int
    judged: tuple[Judged, ...]


class Recording:
    """Writes batches to a new file; a context manager. What is written is on disk at once."""

    def __init__(self, path: Path, settings: Mapping[str, Any] | None = None) -> None:
        self._file = path.open("xb")
        self._append(Header(format=FORMAT, settings=dict(settings or {})))

    def write(self, step: int, judged: Sequence[Judged]) -> None:
        self._append(Batch(step=step, judged=tuple(judged)))

    def _append(self, piece: Header | Batch) -> None:
        payload = encode(piece)
        self._file.write(len(payload).to_bytes(4, "little") + payload)
        self._file.flush()

    def close(self) -> None:
        self._file.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


def read_settings(path: Path) -> dict[str, Any]:
    """How the recording was made; raises ValueError when it is torn or of another format."""
    with path.open("rb") as file:
        return _header(path, file).settings


def read(path: Path) -> Iterator[Batch]:
    """The batches of a recording, in order; raises ValueError when it is torn or another format."""
    with path.open("rb") as file:
        _header(path, file)
        while (batch := _piece(path, file, Batch)) is not None:
            yield batch


def _header(path: Path, file: BinaryIO) -> Header:
    header = _piece(path, file, Header)
    if header is None or header.format != FORMAT:
        raise ValueError(
            f"{path}: not a recording of format {FORMAT}, but "
            f"{'empty' if header is None else f'of format {header.format}'}; record it again"
        )
    return header


def _piece(path: Path, file: BinaryIO, kind: type[T]) -> T | None:
    """The next piece; None at the end."""
    size = file.read(4)
    if not size:
        return None
    payload = file.read(int.from_bytes(size, "little"))
    try:
        return decode(payload, kind)
    except msgspec.DecodeError as error:
        raise ValueError(
            f"{path}: what ends at byte {file.tell()} cannot be read ({error}); "
            "the recording is torn or of another version; record it again"
        ) from error


class ReplayEngine:
    """Serves recorded completions: the n-th request of a prompt gets its n-th recorded completion.

    Ids become those of the requests; text, tokens, log-probs, finish and versions are as recorded.
    Whoever publishes weights sets `weight_version`.
    """

    def __init__(self, batches: Iterable[Batch]) -> None:
        self.weight_version = 0
        self._closed = False
        self._recorded: dict[str, deque[Completion]] = {}
        for batch in batches:
            for judged in batch.judged:
                queue = self._recorded.setdefault(judged.group.prompt.id, deque())
                queue.extend(judged.group.completions)

    @property
    def name(self) -> str:
        return "replay"

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """The next recorded completion; `EngineError` when there is none, or of another limit."""
        await asyncio.sleep(0)
        if self._closed:
            raise EngineError("the replay engine is closed; start another one")
        queue = self._recorded.get(prompt.id)
        if not queue:
            raise EngineError(
                f"request {sampling.id}: the recording holds no further completion of prompt "
                f"{prompt.id}; replay the requests of the recorded run"
            )
        return as_asked(queue.popleft(), sampling)

    async def close(self) -> None:
        self._closed = True


class ReferenceEngine:
    """Serves each prompt's recorded answers in turn, over and over, and their verdicts.

    As many per prompt as a visit asks for: then every visit gets the same ones in the same order,
    in a resumed run too.
    """

    def __init__(self, judged: Iterable[Judged]) -> None:
        self.weight_version = 0
        self._closed = False
        self._recorded: dict[str, deque[tuple[Completion, Verdict]]] = {}
        self._verdicts: dict[str, Verdict] = {}
        for each in judged:
            pairs = zip(each.group.completions, each.verdicts, strict=True)
            self._recorded[each.group.prompt.id] = deque(pairs)

    @property
    def name(self) -> str:
        return "replay"

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """The prompt's next answer; `EngineError` when there is none, or of another limit."""
        await asyncio.sleep(0)
        if self._closed:
            raise EngineError("the replay engine is closed; start another one")
        pairs = self._recorded.get(prompt.id)
        if not pairs:
            raise EngineError(
                f"request {sampling.id}: the recording holds no answer of prompt {prompt.id}; "
                "record the prompts of this run"
            )
        completion, verdict = pairs[0]
        completion = as_asked(completion, sampling)
        pairs.rotate(-1)
        self._verdicts[sampling.id] = verdict
        return completion

    async def verify(self, prompt: Prompt, completion: Completion) -> Verdict:
        """The verdict that was recorded with a completion; it is asked for once."""
        return self._verdicts.pop(completion.id)

    async def close(self) -> None:
        self._closed = True


def as_asked(completion: Completion, sampling: Sampling) -> Completion:
    """The recorded `completion` under the request's id; `EngineError` under another limit."""
    if completion.limit != sampling.limit:
        raise EngineError(
            f"request {sampling.id} allows {sampling.limit} tokens, but its completion was "
            f"recorded under a limit of {completion.limit}; replay with the recorded limits"
        )
    return dataclasses.replace(completion, id=sampling.id)
