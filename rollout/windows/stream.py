"""A stream whose batch is one window of everything that is under way: T-PPO's successive batching.

Each step: what was parked goes on, fresh prompts fill the free places, and when every window has
ended, `next_windows` hands out the responses that are whole. The others stay parked; `begun` shows
them. Groups fall apart: a response does not wait for the others to its prompt.
"""

from collections.abc import Callable

from data.types import Group
from rollout.background import Runner
from rollout.books import Fate, FateRecord
from rollout.samplings import StreamSettings
from rollout.stream import Judged, OpenGroup, Stream, Verify
from rollout.windows.engine import WindowedEngine


class WindowStream(Stream):
    """The stream of T-PPO (arXiv:2506.15050), on an engine that cuts responses into windows."""

    def __init__(
        self,
        windows: WindowedEngine,
        verify: Verify,
        loop: Runner,
        settings: StreamSettings,
        on_fate: Callable[[FateRecord], None] = lambda record: None,
    ) -> None:
        super().__init__(
            windows, verify, lambda group, verdicts: True, loop, settings, on_fate, windows=windows
        )
        self._parts = windows

    def room(self, updates_left: int) -> int:
        """Groups for the places that are free, so that the batch is full and no queue grows."""
        settings = self._settings
        places = settings.groups_per_update * settings.group_size
        under_way = sum(len(group.missing) for group in list(self._open))
        return max(0, places - under_way) // settings.group_size

    def next_windows(self) -> list[Judged]:
        """The responses that ended since the last call, by prompt; at least one, if any can.

        Where no response ends in a step's window, all go on for another one.
        """
        try:
            return self._loop.run(self._ended())
        finally:
            self._tell()

    def begun(self) -> list[Group]:
        """The responses so far that go on in the next step, by prompt, as they were submitted."""
        return self._loop.run(self._begun())

    async def _ended(self) -> list[Judged]:
        while not (self._failure is None and self._at_rest() and self._has_news()):
            if self._failure is None and self._at_rest():
                self._parts.release()
            await self._change()
        ended = [self._taken(group) for group in self._open if group.pairs]
        self._open = [group for group in self._open if group.missing]
        return ended

    async def _begun(self) -> list[Group]:
        parts = {completion.id: completion for completion in self._parts.begun}
        found = []
        for group in self._open:
            names = [sampling.id for _, sampling in sorted(group.missing.items())]
            begun = tuple(parts[name] for name in names if name in parts)
            found += [Group(prompt=group.prompt, completions=begun)] if begun else []
        return found

    def _has_news(self) -> bool:
        """Whether a response has ended, or none can: nothing is under way."""
        return any(group.pairs or not group.missing for group in self._open) or not self._open

    def _taken(self, group: OpenGroup) -> Judged:
        """The judged responses of `group` leave it; those that are missing may follow later."""
        pairs = [group.pairs.pop(slot) for slot in sorted(group.pairs)]
        for completion, _ in pairs:
            self._books.settle(completion.id, Fate.TRAINED)
        whole = Group(prompt=group.prompt, completions=tuple(c for c, _ in pairs))
        oldest = min(completion.weight_versions[0] for completion in whole.completions)
        return Judged(group=whole, verdicts=tuple(v for _, v in pairs), oldest_version=oldest)

    def _settle(self, group: OpenGroup) -> None:
        """The last completion is judged; what was not handed out yet waits for the step's end."""
        self._step.settled += 1
        self._step.kept += 1
        self._changed.set()
