"""Recording judged groups, and an engine that samples them again.

A recording is a file of batches: the length of each in 4 bytes, then its msgpack. It lets learners
of different shapes train on the same rollouts, and bugs be looked at without an engine.
"""

import asyncio
import dataclasses
from collections import deque
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import msgspec

from data.types import Completion, Prompt
from data.wire import decode, encode
from rollout.engine import EngineError, Sampling
from rollout.stream import Judged


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """The judged groups of one update."""

    step: int
    judged: tuple[Judged, ...]


class Recording:
    """Writes batches to a new file; a context manager. What is written is on disk at once."""

    def __init__(self, path: Path) -> None:
        self._file = path.open("xb")

    def write(self, step: int, judged: Sequence[Judged]) -> None:
        payload = encode(Batch(step=step, judged=tuple(judged)))
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


def read(path: Path) -> Iterator[Batch]:
    """The batches of a recording, in order; raises ValueError when it is torn or another format."""
    with path.open("rb") as file:
        while header := file.read(4):
            size = int.from_bytes(header, "little")
            payload = file.read(size)
            try:
                yield decode(payload, Batch)
            except msgspec.DecodeError as error:
                raise ValueError(
                    f"{path}: the batch that ends at byte {file.tell()} cannot be read ({error}); "
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
        completion = queue.popleft()
        if completion.limit != sampling.limit:
            raise EngineError(
                f"request {sampling.id} allows {sampling.limit} tokens, but its completion was "
                f"recorded under a limit of {completion.limit}; replay with the recorded limits"
            )
        return dataclasses.replace(completion, id=sampling.id)

    async def close(self) -> None:
        self._closed = True
