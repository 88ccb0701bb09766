"""The growth of one prompt's tree: a segment has ended, so what starts next? Pure decisions.

Flow of a path at the end of its segment: over -> it is a leaf, and what it held is handed on;
else the leaves to come are dealt (`Deal`) -> it goes on as several paths. When the last path is
over and leaves are missing, the tree begins again inside its leaves (`rollout.trees.fallback`).

TreePO (arXiv:2508.17445) branches level by level, `children = max(a, min(w - f, b f' + b a))` for w
leaves, f of them ended, f' ended in this level, a paths that go on, b branches. Here every path
carries its part of both sums: `Path.leaves` of w - f and `Path.branches` of b f' + b a. So nobody
waits for a level, and no path loses leaves to one that was faster. In step and without ends both
rules make min(w, b ** level) paths. After every event the leaves that running paths hold and those
that have ended are w together.

As in TreePO, what ends early gives its leaves to what goes on: long responses have more leaves than
the policy gives them, the more the fewer paths part at the prompt (`metrics.leaf_masses`).
`Growth.restart_at_once`, which is ours, gives them to new paths instead.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from random import Random
from typing import NamedTuple

from data.types import Completion, Finish
from rollout.trees.divergence import Deal, even_shares
from rollout.trees.fallback import Candidates, Cut, restarts
from rollout.trees.segments import Leaf, Path, Segment, Segments, num_tokens

Ending = Callable[[Segments], Finish | None]
"""How a response that could go on has ended all the same, None when it has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Growth:
    """The settings of a tree. A divergence is drawn from least to most, both included."""

    segment_tokens: int
    depth: int
    """Segments of a leaf at most; the last one runs to the limit."""
    first_divergence: tuple[int, int]
    divergence: tuple[int, int]
    deal: Deal
    restart_at_once: bool
    """What a path leaves when it ends begins again inside the leaves, though others run."""
    candidates: Candidates
    cut: Cut
    ending: Ending


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """A segment to sample: `limit` new tokens behind the prompt and `segments`."""

    id: str
    segments: Segments
    limit: int


class Moves(NamedTuple):
    """What follows from the end of a segment: perhaps a leaf, and segments to start."""

    leaf: Leaf | None
    starts: list[Start]


class TreeState:
    """The tree of one prompt: `width` leaves of at most `limit` tokens; `name` begins its ids."""

    def __init__(self, name: str, width: int, limit: int, growth: Growth, random: Random) -> None:
        self._name = name
        self._width = width
        self._limit = limit
        self._growth = growth
        self._random = random
        self._running: dict[str, Path] = {}
        self._continuable: list[Leaf] = []
        self._num_started = 0

    def begin(self) -> list[Start]:
        """The first segments, all behind the bare prompt."""
        branches = self._random.randint(*self._growth.first_divergence)
        return self._fork(Path(segments=(), leaves=self._width, branches=branches))

    def ended(self, segment_id: str, completion: Completion) -> Moves:
        """The segment that was started as `segment_id` has been sampled."""
        path = _longer(self._running[segment_id], segment_id, completion)
        finish = self._finish(path.segments)
        if finish is None:
            self._running[segment_id] = path
            self._deal()
            return Moves(None, self._fork(self._running.pop(segment_id)))
        del self._running[segment_id]
        leaf = Leaf(segments=path.segments, finish=finish)
        if finish is not Finish.ABORTED:
            self._continuable.append(leaf)
        return Moves(leaf, self._hand_on(path))

    def _finish(self, segments: Segments) -> Finish | None:
        """The end of a segment at its own limit is not yet the end of the response."""
        finish = segments[-1].completion.finish
        if finish is not Finish.LIMIT or num_tokens(segments) >= self._limit:
            return finish
        return self._growth.ending(segments)

    def _deal(self) -> None:
        dealt = self._growth.deal(list(self._running.values()))
        for (segment_id, path), leaves in zip(self._running.items(), dealt, strict=True):
            self._running[segment_id] = replace(path, leaves=leaves)

    def _fork(self, path: Path) -> list[Start]:
        """Before the last segment all leaves part, for nothing branches behind it."""
        last = self._is_last(path.segments)
        count = path.leaves if last else min(path.leaves, path.branches)
        return [self._start(path.segments, leaves) for leaves in even_shares(path.leaves, count)]

    def _hand_on(self, path: Path) -> list[Start]:
        """The leaves and branches of a path that is over go to the others, evenly, if at all."""
        missing = path.leaves - 1
        if self._growth.restart_at_once or not self._running:
            return self._fall_back(missing) if missing else []
        leaves = even_shares(missing, len(self._running))
        branches = even_shares(path.branches, len(self._running))
        for segment_id, more_leaves, more_branches in zip(
            self._running, leaves, branches, strict=True
        ):
            heir = self._running[segment_id]
            self._running[segment_id] = replace(
                heir, leaves=heir.leaves + more_leaves, branches=heir.branches + more_branches
            )
        return []

    def _fall_back(self, missing: int) -> list[Start]:
        prefixes = restarts(
            self._continuable,
            missing,
            copies=self._random.randint(*self._growth.divergence),
            candidates=self._growth.candidates,
            cut=self._growth.cut,
            random=self._random,
        )
        shares = even_shares(missing, len(prefixes))
        begun = (
            Path(segments=prefix, leaves=leaves, branches=1)
            for prefix, leaves in zip(prefixes, shares, strict=True)
        )
        return [start for path in begun for start in self._fork(path)]

    def _start(self, segments: Segments, leaves: int) -> Start:
        segment_id = f"{self._name}/s{self._num_started}"
        self._num_started += 1
        branches = self._random.randint(*self._growth.divergence)
        self._running[segment_id] = Path(segments=segments, leaves=leaves, branches=branches)
        remaining = self._limit - num_tokens(segments)
        most = remaining if self._is_last(segments) else self._growth.segment_tokens
        return Start(id=segment_id, segments=segments, limit=min(most, remaining))

    def _is_last(self, segments: Segments) -> bool:
        """Whether the segment behind `segments` is the last that the depth allows."""
        return len(segments) + 1 == self._growth.depth


def _longer(path: Path, segment_id: str, completion: Completion) -> Path:
    segment = Segment(id=segment_id, completion=completion)
    return replace(path, segments=(*path.segments, segment))
