"""The stream: prompts go in, judged groups come out, while others still generate.

Flow of a completion, on the background loop: engine -> verifier -> its group. Flow of a group, once
its last completion is judged: too few left -> `revise` -> `keep` (dynamic sampling) -> ready ->
a batch, in the order of submission as far as `rollout.staleness` asks for it. The loop's thread
blocks in `next_batch`; all state is touched on the background loop only.

With `max_staleness=0` the batch does not depend on timing and holds no bias toward short
completions.
"""

import asyncio
from collections import deque
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from data.types import Completion, Finish, Group, Prompt, Verdict
from rollout.background import Runner
from rollout.books import Books, Fate, FateRecord
from rollout.engine import Engine, EngineError, SampleGroup, Sampling, independently
from rollout.samplings import Request, Samplings, StreamSettings
from rollout.staleness import choose, room
from rollout.windows.engine import WindowedEngine
from rollout.windows.saved_groups import SavedGroup, groups_state, saved_groups

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
class OpenGroup:
    """A submitted group that no batch has taken; `judged` is set once it is ready."""

    prompt: Prompt
    step: int
    deadline: int
    """The last update that may train on it."""
    missing: dict[int, Sampling]
    pairs: dict[int, tuple[Completion, Verdict]] = field(default_factory=dict)
    judged: Judged | None = None

    def saved(self) -> SavedGroup:
        return SavedGroup(
            prompt=self.prompt,
            step=self.step,
            deadline=self.deadline,
            judged=dict(self.pairs),
            missing=dict(self.missing),
        )


@dataclass(slots=True)
class _Step:
    """What happened since `end_step`, in groups."""

    taken: int = 0
    settled: int = 0
    kept: int = 0


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
        windows: WindowedEngine | None = None,
    ) -> None:
        self._engine = windows or engine
        self._windows = windows
        self._sample_group = sample_group
        self._verify = verify
        self._keep = keep
        self._revise = revise
        self._loop = loop
        self._settings = settings
        self._on_fate = on_fate
        self._records: deque[FateRecord] = deque()
        self._books = Books(self._records.append)
        self._samplings = Samplings(settings)
        self._open: list[OpenGroup] = []
        self._step = _Step()
        self._tasks: set[asyncio.Task[None]] = set()
        self._changed = asyncio.Event()
        self._failure: BaseException | None = None
        if windows is not None:
            windows.on_settled = self._changed.set

    @property
    def fates(self) -> dict[Fate, int]:
        """Completions by fate since the stream began, for metrics."""
        return self._books.fates

    @property
    def running(self) -> int:
        """Completions that are being sampled or judged."""
        return self._books.running

    def room(self, updates_left: int) -> int:
        """Groups that may be submitted now without one of them going stale.

        `updates_left` updates follow this one; what they do not need is not sampled.
        """
        settings = self._settings
        ahead = min(settings.groups_ahead, updates_left * settings.groups_per_update)
        return room(settings.groups_per_update, ahead, self._step.taken, len(self._open))

    def given_back(self) -> list[str]:
        """Ids of the prompts that a resumed run draws again, in the order of submission.

        Those of all groups that no batch has taken; none with windows, whose groups `state` holds.
        """
        return [] if self._windows else [group.prompt.id for group in list(self._open)]

    def state(self) -> dict[str, Any]:
        """With windows the groups that no batch has taken, as far as they are; JSON can hold it."""
        return self._loop.run(self._state())

    def load(self, state: dict[str, Any]) -> None:
        """Goes on with the groups of `state()`; after `clear`."""
        self._loop.run(self._load(state))

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

    def end_step(self) -> float:
        """The update has its groups; returns the share of the groups judged since that were kept.

        A stream that does not sample ahead waits for what still runs and drops what no batch took.
        One that cuts ends when nothing runs any more: the rest goes on in the next step.
        """
        try:
            return self._loop.run(self._end_step())
        finally:
            self._tell()

    def clear(self) -> None:
        """Cancels what runs and drops what is ready; every completion has its fate afterwards."""
        self._loop.run(self._cancel())
        self._tell()

    def close(self) -> None:
        """As `clear`; nothing is submitted any more."""
        self.clear()

    def reissued(self, lost_id: str, fresh_id: str) -> None:
        """A request was lost with its engine and goes on as `fresh_id` (`Supervisor`)."""
        self._books.reissue(lost_id, fresh_id)

    async def _start(self, requests: list[Request]) -> None:
        if self._windows is not None:
            self._windows.release()
        for request in requests:
            samplings = dict(enumerate(self._samplings(request)))
            group = OpenGroup(
                prompt=request.prompt,
                step=request.step,
                deadline=request.step + self._settings.max_staleness,
                missing=samplings,
            )
            self._launch(group)

    def _launch(self, group: OpenGroup) -> None:
        """Asks for the missing completions of a group, which is open from now on."""
        self._open.append(group)
        for sampling in group.missing.values():
            self._books.submit(sampling.id, group.prompt.id, group.step)
        slots, samplings = list(group.missing), list(group.missing.values())
        answers = self._sample_group(self._engine, group.prompt, samplings)
        for slot, answer in zip(slots, answers, strict=True):
            task = asyncio.create_task(self._complete(group, slot, answer))
            self._tasks.add(task)
            task.add_done_callback(self._done)

    async def _state(self) -> dict[str, Any]:
        if self._windows is None:
            return {}
        saved = groups_state(group.saved() for group in self._open)
        return saved | {"windows": self._windows.state()}

    async def _load(self, state: dict[str, Any]) -> None:
        if self._windows is None or not state:
            return
        self._windows.load(state["windows"])
        for saved in saved_groups(state):
            for completion, _ in saved.judged.values():
                self._books.submit(completion.id, saved.prompt.id, saved.step)
                self._books.ended(completion)
                self._books.judged(completion.id, grader_failed=False)
            group = OpenGroup(
                prompt=saved.prompt,
                step=saved.step,
                deadline=saved.deadline,
                missing=dict(saved.missing),
                pairs=dict(saved.judged),
            )
            self._launch(group)
            if not group.missing:
                self._settle(group)

    async def _complete(self, group: OpenGroup, slot: int, answer: Awaitable[Completion]) -> None:
        prompt = group.prompt
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
        del group.missing[slot]
        if not group.missing:
            self._settle(group)
        self._changed.set()

    def _done(self, task: asyncio.Task[None]) -> None:
        if task not in self._tasks:
            return
        self._tasks.discard(task)
        failure = (
            EngineError("a request was cancelled by someone other than the stream")
            if task.cancelled()
            else task.exception()
        )
        if failure is not None:
            self._failure = self._failure or failure
            self._changed.set()

    def _settle(self, group: OpenGroup) -> None:
        """The last completion is judged: the group is dropped, or becomes ready."""
        pairs = [group.pairs[slot] for slot in sorted(group.pairs)]
        completions = tuple(completion for completion, _ in pairs)
        self._step.settled += 1
        if len(pairs) < MIN_GROUP:
            self._drop(group, completions, Fate.TOO_FEW)
        else:
            whole = Group(prompt=group.prompt, completions=completions)
            self._judge(group, *self._revise(whole, [verdict for _, verdict in pairs]))
        self._changed.set()

    def _judge(self, group: OpenGroup, whole: Group, verdicts: Sequence[Verdict]) -> None:
        if not self._keep(whole, verdicts):
            self._drop(group, whole.completions, Fate.UNIFORM)
            return
        oldest = min(completion.weight_versions[0] for completion in whole.completions)
        group.judged = Judged(group=whole, verdicts=tuple(verdicts), oldest_version=oldest)
        self._step.kept += 1

    def _drop(self, group: OpenGroup, completions: Iterable[Completion], fate: Fate) -> None:
        """The group is open no more; its `completions` have `fate`."""
        self._open.remove(group)
        for completion in completions:
            self._books.settle(completion.id, fate)

    async def _take(self, num_groups: int, version: int) -> list[Judged]:
        settings = self._settings
        while True:
            self._drop_stale(version - settings.max_staleness)
            taken = choose(
                [group.judged is not None for group in self._open],
                [group.deadline for group in self._open],
                num_groups,
                version,
                settings.groups_per_update,
            )
            if self._failure is None and taken is not None:
                break
            if self._windows is not None and self._at_rest():
                self._windows.release()
            await self._change()
        self._step.taken += len(taken)
        return [self._out(group, Fate.TRAINED) for group in [self._open[at] for at in taken]]

    async def _end_step(self) -> float:
        if self._windows is not None and self._settings.cuts:
            await self._windows.cut()
        if self._windows is not None or not self._settings.groups_ahead:
            while not self._at_rest():
                await self._change()
        if self._windows is None and not self._settings.groups_ahead:
            for group in list(self._open):
                self._out(group, Fate.UNUSED)
        step, self._step = self._step, _Step()
        return step.kept / step.settled if step.settled else 1.0

    def _at_rest(self) -> bool:
        """Whether all that is not judged waits for the next step's weights."""
        parked = 0 if self._windows is None else self._windows.num_parked
        return self._books.running == parked

    async def _change(self) -> None:
        """Waits until a group is settled; raises the first failure of a request."""
        if self._failure is None:
            self._changed.clear()
            await self._changed.wait()
        if self._failure is not None:
            raise self._failure

    def _out(self, group: OpenGroup, fate: Fate) -> Judged:
        """A ready group leaves the stream."""
        judged = group.judged
        assert judged is not None, "the group is ready"
        self._drop(group, judged.group.completions, fate)
        return judged

    def _drop_stale(self, oldest: int) -> None:
        for group in list(self._open):
            if group.judged is not None and group.judged.oldest_version < oldest:
                self._out(group, Fate.STALE)

    async def _cancel(self) -> None:
        tasks, self._tasks = list(self._tasks), set()
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        self._books.settle_running(Fate.ABORTED)
        self._books.settle_waiting(Fate.UNUSED)
        self._open = []

    def _tell(self) -> None:
        while self._records:
            self._on_fate(self._records.popleft())
