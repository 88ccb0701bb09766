"""Trees for tests: made segments, and a tree grown by hand, one ended segment after the other."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any

import numpy as np

from data.types import Completion, Finish, Span
from rollout.trees.divergence import as_held
from rollout.trees.fallback import at_random, ended_leaves
from rollout.trees.segments import Leaf, Path, Segment
from rollout.trees.state import Growth, Start, TreeState

EVEN = Growth(
    segment_tokens=4,
    depth=100,
    first_divergence=(2, 2),
    divergence=(2, 2),
    deal=as_held,
    restart_at_once=False,
    candidates=ended_leaves,
    cut=at_random,
    ending=lambda segments: None,
)
"""Segments of 4 tokens, two paths from each, and texts that never end a path."""


def sampled(
    tokens: list[int], finish: Finish = Finish.LIMIT, logprob: float = -0.5, version: int = 0
) -> Completion:
    """What an engine gives for one segment."""
    return Completion(
        id="reissued+1",
        text="",
        token_ids=np.array(tokens, np.int32),
        logprobs=np.full(len(tokens), logprob, np.float32),
        limit=len(tokens),
        finish=finish,
        spans=(Span(start=0, stop=len(tokens), weight_version=version),),
    )


def segment(name: str, tokens: list[int], **options: Any) -> Segment:
    return Segment(id=name, completion=sampled(tokens, **options))


def path(*segments: Segment, leaves: int = 1, branches: int = 2) -> Path:
    return Path(segments=segments, leaves=leaves, branches=branches)


def leaf(*segments: Segment, finish: Finish = Finish.STOP) -> Leaf:
    return Leaf(segments=segments, finish=finish)


@dataclass(slots=True)
class Grown:
    """A tree on its way: what was started and not yet ended, and what has become of the rest."""

    state: TreeState
    running: list[Start] = field(default_factory=list)
    starts: list[Start] = field(default_factory=list)
    leaves: list[Leaf] = field(default_factory=list)
    segments: dict[str, Segment] = field(default_factory=dict)

    def add(self, starts: list[Start]) -> None:
        self.running += starts
        self.starts += starts

    def end(self, start: Start, num_tokens: int | None = None) -> list[Start]:
        """Ends a running segment, at its limit or by itself after `num_tokens`."""
        self.running.remove(start)
        number = len(self.segments)
        finish = Finish.LIMIT if num_tokens is None else Finish.STOP
        done = sampled([number] * (num_tokens or start.limit), finish, logprob=-number / 100)
        self.segments[start.id] = Segment(id=start.id, completion=done)
        moves = self.state.ended(start.id, done)
        self.leaves += [moves.leaf] if moves.leaf else []
        self.add(moves.starts)
        return moves.starts


def begun(width: int, limit: int = 1000, seed: int = 0, **options: Any) -> Grown:
    """A tree of `EVEN` with other settings, whose first segments have started."""
    state = TreeState("t", width, limit, replace(EVEN, **options), Random(seed))
    grown = Grown(state)
    grown.add(state.begin())
    return grown


def grow(grown: Grown, random: Random, stops: Callable[[Start], bool]) -> Grown:
    """Ends segments in any order until none runs; those that stop do so at any length."""
    while grown.running:
        start = random.choice(grown.running)
        grown.end(start, random.randint(1, start.limit) if stops(start) else None)
    return grown
