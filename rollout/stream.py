"""The stream: prompts go in, judged groups come out, while others still generate.

Flow of a completion, on the background loop: engine -> verifier -> its group. Flow of a group, once
its last completion is judged: too few left -> `revise` -> `keep` (dynamic sampling) -> ready ->
staleness -> a batch. The loop's thread blocks in `next_batch`; all state is touched on the
background loop only.

With `max_staleness=0` groups come out in the order in which they went in, whichever ended first:
the batch does not depend on timing and holds no bias toward short completions.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from typing import Protocol

from data.types import Completion, Finish, Group, Prompt, Verdict
from rollout.background import Runner
from rollout.books import Books, Fate, FateRecord, room
from rollout.engine import Engine, EngineError, SampleGroup, Sampling, independently

Keep = Callable[[Group, Sequence[Verdict]], bool]
"""Whether a group with these verdicts is worth training on."""
Revise = Callable[[Group, Sequence[Verdict]], tuple[Group, Sequence[Verdict]]]
"""What a method makes of a judged group before it is kept or dropped; order and ids stay."""
MIN_GROUP = 2


class Verify(Protocol):
    """Judges one completion; `Verdict.correct` is None when the grader failed."""

    async def __call__(self, prompt: Prompt, completion: Completion) -> Verdict: ...


class GraderError(RuntimeError):
    """The grader fails so often that the verdicts of the rest cannot be trusted."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Request:
    """A prompt to sample a group of, in step `step` of the run, up to `limit` tokens each."""

    prompt: Prompt
    limit: int
    step: int


@dataclass(frozen=True, slots=True, kw_only=True)
class StreamSettings:
    """How every request of a run is sampled. `seed` None leaves the draws to the engine."""

    group_size: int
    temperature: float = 1.0
    top_p: float = 1.0
    seed: int | None = None
    max_staleness: int = 0


@dataclass(frozen=True, slots=True, kw_only=True)
class Judged:
    """A group with one verdict per completion [G]; G is smaller where the grader failed."""

    group: Group
    verdicts: tuple[Verdict, ...]
    oldest_version: int
    """The oldest weights that sampled a token of the group."""


def as_it_is(group: Group, verdicts: Sequence[Verdict]) -> tuple[Group, Sequence[Verdict]]:
    """The revision of methods that have none."""
    return group, verdicts


@dataclass(slots=True, eq=False)
class _Open:
    """A submitted group; `judged` is set when its last completion is, unless it is dropped."""

    request: Request
    pairs: list[tuple[Completion, Verdict] | None]
    missing: int
    settled: bool = False
    judged: Judged | None = None


@dataclass(slots=True)
class _Groups:
    """Groups that wait for their turn, groups that a batch may take, and how many still run."""

    in_order: deque[_Open] = field(default_factory=deque)
    ready: deque[Judged] = field(default_factory=deque)
    running: int = 0


class Stream:
    """Samples and judges groups on `loop`; see the module. One thread calls it.

    `on_fate` hears of every completion once, on the calling thread, during `next_batch` or `close`.
    """

    def __init__(
        self,
        engine: Engine,
        verify: Verify,
        keep: Keep,
        loop: Runner,
        settings: StreamSettings,
        on_fate: Callable[[FateRecord], None] = lambda record: None,
        revise: Revise = as_it_is,
        sample_group: SampleGroup = independently,
    ) -> None:
        self._engine = engine
        self._sample_group = sample_group
        self._verify = verify
        self._keep = keep
        self._revise = revise
        self._loop = loop
        self._settings = settings
        self._on_fate = on_fate
        self._records: deque[FateRecord] = deque()
        self._books = Books(self._records.append)
        self._groups = _Groups()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        self._closing = False
        self._step = -1
        self._next_index: dict[str, int] = {}

    @property
    def fates(self) -> dict[Fate, int]:
        """Completions by fate since the stream began, for metrics."""
        return self._books.fates

    @property
    def running(self) -> int:
        """Completions that are being sampled or judged."""
        return self._books.running

    def room(self, num_groups: int) -> int:
        """Groups that may be submitted now, for updates of `num_groups`, without going stale."""
        groups_open = self._groups.running + len(self._groups.ready)
        return room(num_groups, self._settings.max_staleness, groups_open)

    def submit(self, requests: Iterable[Request]) -> None:
        """Starts a group per request; all of one call reach the engine together."""
        self._loop.run(self._start(list(requests)))

    def next_batch(self, num_groups: int, version: int) -> list[Judged]:
        """`num_groups` groups for the update of weights `version`; fewer when nothing more runs.

        Groups with a token older than `version - max_staleness` are dropped. Raises the engine's
        or the verifier's exception as soon as a request failed, and `GraderError` when the grader
        failed on more than 1 percent of the last 1,000 completions.
        """
        try:
            return self._loop.run(self._take(num_groups, version))
        finally:
            self._tell()

    def drop_rest(self) -> int:
        """Waits for what still runs and drops what no batch took; returns how many groups."""
        try:
            return self._loop.run(self._drop_ready())
        finally:
            self._tell()

    def close(self) -> None:
        """Cancels what runs; every completion has its fate afterwards."""
        self._loop.run(self._cancel())
        self._tell()

    def reissued(self, lost_id: str, fresh_id: str) -> None:
        """A request was lost with its engine and goes on as `fresh_id` (`Supervisor`)."""
        self._books.reissue(lost_id, fresh_id)

    async def _start(self, requests: list[Request]) -> None:
        for request in requests:
            size = self._settings.group_size
            group = _Open(request, pairs=[None] * size, missing=size)
            self._groups.running += 1
            if self._settings.max_staleness == 0:
                self._groups.in_order.append(group)
            samplings = self._samplings(request)
            for sampling in samplings:
                self._books.submit(sampling.id, request.prompt.id, request.step)
            answers = self._sample_group(self._engine, request.prompt, samplings)
            for slot, answer in enumerate(answers):
                task = asyncio.create_task(self._complete(group, slot, answer))
                self._tasks.add(task)
                task.add_done_callback(self._done)

    def _samplings(self, request: Request) -> list[Sampling]:
        """One per completion. A prompt drawn twice in a step goes on with the next indices."""
        if request.step != self._step:
            self._step, self._next_index = request.step, {}
        settings, prompt_id = self._settings, request.prompt.id
        first = self._next_index.get(prompt_id, 0)
        self._next_index[prompt_id] = first + settings.group_size
        return [
            Sampling(
                id=f"{request.step}/{prompt_id}/{index}",
                limit=request.limit,
                temperature=settings.temperature,
                top_p=settings.top_p,
                seed=None
                if settings.seed is None
                else completion_seed(settings.seed, prompt_id, index, request.step),
                priority=request.step,
            )
            for index in range(first, first + settings.group_size)
        ]

    async def _complete(self, group: _Open, slot: int, answer: Awaitable[Completion]) -> None:
        prompt = group.request.prompt
        completion = await answer
        self._books.ended(completion)
        if completion.finish is Finish.ABORTED:
            self._books.settle(completion.id, Fate.ABORTED)
        else:
            verdict = await self._verify(prompt, completion)
            failed = verdict.correct is None
            self._books.judged(completion.id, grader_failed=failed)
            if not failed:
                group.pairs[slot] = completion, verdict
            elif problem := self._books.grader_problem():
                raise GraderError(
                    f"{problem}; the last one: {verdict.reason}. Raise verifier.timeout_seconds "
                    "or verifier.workers, or check the data's answers"
                )
        group.missing -= 1
        if group.missing == 0:
            self._settle(group)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if self._closing:
            return
        failure = (
            EngineError("a request was cancelled by someone other than the stream")
            if task.cancelled()
            else task.exception()
        )
        if failure is not None:
            self._failure = self._failure or failure
            self._changed.set()

    def _settle(self, group: _Open) -> None:
        """The last completion is judged: the group is dropped, or becomes ready in its turn."""
        pairs = [pair for pair in group.pairs if pair is not None]
        completions = tuple(completion for completion, _ in pairs)
        if len(pairs) < MIN_GROUP:
            self._drop(completions, Fate.TOO_FEW)
        else:
            whole = Group(prompt=group.request.prompt, completions=completions)
            group.judged = self._revised(whole, [verdict for _, verdict in pairs])
        group.settled = True
        group.pairs = []
        self._groups.running -= 1
        self._release(group)
        self._changed.set()

    def _revised(self, whole: Group, judgements: Sequence[Verdict]) -> Judged | None:
        group, verdicts = self._revise(whole, judgements)
        if not self._keep(group, verdicts):
            self._drop(group.completions, Fate.UNIFORM)
            return None
        oldest = min(completion.weight_versions[0] for completion in group.completions)
        return Judged(group=group, verdicts=tuple(verdicts), oldest_version=oldest)

    def _release(self, group: _Open) -> None:
        in_order, released = self._groups.in_order, []
        if self._settings.max_staleness > 0:
            released.append(group)
        while in_order and in_order[0].settled:
            released.append(in_order.popleft())
        self._groups.ready.extend(g.judged for g in released if g.judged is not None)

    def _drop(self, completions: Iterable[Completion], fate: Fate) -> None:
        for completion in completions:
            self._books.settle(completion.id, fate)

    async def _take(self, num_groups: int, version: int) -> list[Judged]:
        oldest = version - self._settings.max_staleness
        while True:
            await self._until(lambda: self._enough(num_groups))
            self._drop_stale(oldest)
            if self._enough(num_groups):
                break
        ready = self._groups.ready
        batch = [ready.popleft() for _ in range(min(num_groups, len(ready)))]
        for judged in batch:
            self._drop(judged.group.completions, Fate.TRAINED)
        return batch

    async def _drop_ready(self) -> int:
        await self._until(lambda: not self._groups.running)
        rest, self._groups.ready = self._groups.ready, deque()
        for judged in rest:
            self._drop(judged.group.completions, Fate.UNUSED)
        return len(rest)

    async def _until(self, condition: Callable[[], bool]) -> None:
        """Waits for `condition`; raises the first failure of a request."""
        while True:
            if self._failure is not None:
                raise self._failure
            if condition():
                return
            self._changed.clear()
            await self._changed.wait()

    def _enough(self, num_groups: int) -> bool:
        return len(self._groups.ready) >= num_groups or not self._groups.running

    def _drop_stale(self, oldest: int) -> None:
        fresh: deque[Judged] = deque()
        for judged in self._groups.ready:
            if judged.oldest_version < oldest:
                self._drop(judged.group.completions, Fate.STALE)
            else:
                fresh.append(judged)
        self._groups.ready = fresh

    async def _cancel(self) -> None:
        self._closing = True
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._books.settle_running(Fate.ABORTED)
        self._books.settle_waiting(Fate.UNUSED)
        self._groups = _Groups()

    def _tell(self) -> None:
        while self._records:
            self._on_fate(self._records.popleft())


def completion_seed(run_seed: int, prompt_id: str, index: int, step: int) -> int:
    """A seed in [0, 2^31) for one completion: BLAKE2b of run seed, prompt id, index and step."""
    name = f"{run_seed}/{prompt_id}/{index}/{step}".encode()
    return int.from_bytes(blake2b(name, digest_size=4).digest(), "little") >> 1
