"""Tail rounds: short rounds leave the slow prompts behind, long rounds catch up on them.

RollPacker's tail batching (arXiv:2509.21009): a short round launches more prompts and samples than
it needs and ends with the first that are complete; a prompt that was cut off goes to a queue, and
as soon as the queue fills a round, it gets one without a cut. All samples are on-policy: what was
cut is thrown away and sampled again.

Bias: moving whole prompts only reorders the training, but within a short round the kept samples of
a prompt are the first of more, hence its short ones. A `sample_factor` of 1 leaves that out.
"""

import math
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Any


class RoundKind(StrEnum):
    """Whether a round is cut."""

    SHORT = "short"
    """Ends with the first complete groups; the others go to the queue."""
    LONG = "long"
    """Groups of the queue; ends with the last of them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Round:
    """The groups to launch, by id, and how many samples of each."""

    kind: RoundKind
    group_ids: tuple[str, ...]
    num_samples: int


class TailRounds:
    """Rounds that end with `num_groups` groups of `num_samples` samples.

    Short ones launch `group_factor` times the groups, each of `sample_factor` times the samples.
    Ids are of groups, not of prompts: each is drawn once in a run.
    """

    def __init__(
        self, *, num_groups: int, num_samples: int, group_factor: float, sample_factor: float
    ) -> None:
        numbers = {
            "num_groups": num_groups,
            "num_samples": num_samples,
            "group_factor": group_factor,
            "sample_factor": sample_factor,
        }
        if low := [f"{name}={value}" for name, value in numbers.items() if value < 1]:
            raise ValueError(f"{', '.join(low)}: set 1 or more")
        self._num_groups = num_groups
        self._num_samples = num_samples
        self._num_groups_launched = math.ceil(num_groups * group_factor)
        self._num_samples_launched = math.ceil(num_samples * sample_factor)
        self._queue: list[str] = []
        self._round: Round | None = None
        self._ended: Counter[str] = Counter()
        self._complete: list[str] = []

    @property
    def queue(self) -> tuple[str, ...]:
        """Groups that wait for a long round, first cut first."""
        return tuple(self._queue)

    @property
    def num_fresh(self) -> int:
        """Groups to draw for the next round; 0 when the queue fills it."""
        return 0 if len(self._queue) >= self._num_groups else self._num_groups_launched

    @property
    def complete(self) -> bool:
        """Whether the round has its groups, so that the rest is to be cut."""
        return len(self._complete) == self._num_groups

    def begin(self, fresh: Sequence[str]) -> Round:
        """The next round: of the `num_fresh` groups `fresh`, or a long one where that is 0."""
        assert self._round is None, "one round at a time"
        names = [*self._queue, *fresh]
        if len(fresh) != self.num_fresh or len(set(names)) < len(names):
            raise ValueError(
                f"{len(fresh)} groups for a round: draw {self.num_fresh}, under ids not in use"
            )
        self._round = self._short_round(fresh) if fresh else self._long_round()
        return self._round

    def ended(self, group_id: str) -> bool:
        """A sample of this round ended by itself; whether its group has use for it."""
        assert self._round is not None and group_id in self._round.group_ids
        if self.complete or self._ended[group_id] == self._num_samples:
            return False
        self._ended[group_id] += 1
        if self._ended[group_id] == self._num_samples:
            self._complete.append(group_id)
        return True

    def finish(self) -> list[str]:
        """Ends the round: its complete groups, first complete first. The others are queued."""
        assert self._round is not None
        kept = self._complete
        self._queue += [name for name in self._round.group_ids if name not in kept]
        self._round, self._ended, self._complete = None, Counter(), []
        return kept

    def _short_round(self, fresh: Sequence[str]) -> Round:
        return Round(
            kind=RoundKind.SHORT, group_ids=tuple(fresh), num_samples=self._num_samples_launched
        )

    def _long_round(self) -> Round:
        group_ids = self.queue[: self._num_groups]
        del self._queue[: self._num_groups]
        return Round(kind=RoundKind.LONG, group_ids=group_ids, num_samples=self._num_samples)

    def state(self) -> dict[str, Any]:
        """Between two rounds; JSON can hold it."""
        return {"queue": list(self._queue)}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from `state()`."""
        self._queue = list(state["queue"])
