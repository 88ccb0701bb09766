"""How long the steps of a cluster take, without the cluster: a simulation of stream and learner.

Flow of a step: groups are submitted while there is room -> engines sample them -> the update waits
until it may take a batch -> the learner learns -> publishes, which pauses the engines -> the next.
Generation goes on meanwhile as far as `max_staleness` allows; 0 is the synchronous loop.

Left out: verifiers (they overlap), the growth of T(B) with the context, preemption, cores that
engines and learner take from each other. A dropped group is replaced at once.
"""

import heapq
import itertools
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from rollout.simulation.cluster import Cluster, Workload
from rollout.simulation.lengths import Lengths
from rollout.simulation.replica import Ended, Replica, Sampled
from rollout.staleness import choose, room
from rollout.timeline import LEARNER, Activity, Kind


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """Means over the measured steps. Tokens and samples are those that were trained on.

    An engine is idle when it has nothing to run or is paused for weights; its occupancy is the
    share of its sequences that run while it is not. `staleness` is the share of the trained tokens
    by the age of the weights that sampled them, in updates; `oldest_staleness` counts every token
    as old as the first one of its completion.
    """

    seconds_per_step: float
    tokens_per_second: float
    samples_per_second: float
    engine_idle_share: float
    engine_occupancy: float
    learner_idle_share: float
    staleness: dict[int, float]
    oldest_staleness: dict[int, float]


def simulate(
    cluster: Cluster,
    workload: Workload,
    num_steps: int,
    seed: int,
    on_activity: Callable[[Activity], None] = lambda activity: None,
) -> Report:
    """Runs `num_steps` updates after `max_staleness` + 1 unmeasured ones, in which the pipe fills.

    `on_activity` hears of every completion, update and publication, the unmeasured ones too.
    Raises ValueError when no group would ever be kept.
    """
    if not 0 < workload.kept_share <= 1:
        raise ValueError(f"kept_share={workload.kept_share}: set 0 < kept_share <= 1")
    world = _World(cluster, workload, seed, on_activity)
    for _ in range(workload.max_staleness + 1):
        world.step()
    before = world.totals()
    for _ in range(num_steps):
        world.step()
    return _report(before, world.totals(), num_steps, cluster)


@dataclass(slots=True, eq=False)
class _Group:
    name: str
    predicted: float
    missing: int
    deadline: int
    is_ready: bool = False
    completions: list[dict[int, float]] = field(default_factory=list)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Totals:
    seconds: float
    busy_seconds: float
    sequence_seconds: float
    learner_seconds: float
    num_samples: int
    tokens: Mapping[int, float]
    oldest: Mapping[int, float]


class _World:
    """Replicas, learner and stream at one moment."""

    def __init__(
        self,
        cluster: Cluster,
        workload: Workload,
        seed: int,
        on_activity: Callable[[Activity], None],
    ) -> None:
        self._cluster = cluster
        self._workload = workload
        self._on_activity = on_activity
        self._length_rng = np.random.default_rng(seed)
        self._keep_rng = np.random.default_rng([seed, 1])
        self._now = 0.0
        self._version = 0
        self._replicas: list[Replica[_Group]] = [
            Replica(cluster.decode_seconds, cluster.prefill_seconds_per_token, cluster.max_running)
            for _ in range(cluster.num_replicas)
        ]
        self._loads = [0.0] * cluster.num_replicas
        self._ends: list[tuple[float, int, int]] = []
        self._stamps = [0] * cluster.num_replicas
        self._num_groups = itertools.count()
        self._open: list[_Group] = []
        self._num_ready = 0
        self._num_taken = 0
        self._is_settled = True
        self._tokens: defaultdict[int, float] = defaultdict(float)
        self._oldest: defaultdict[int, float] = defaultdict(float)
        self._num_samples = 0
        self._learner_seconds = 0.0

    def step(self) -> None:
        """One update, from the first request that is missing to the weights on the engines."""
        self._fill()
        while (taken := self._choose()) is None:
            self._next_event()
        self._train_on(self._take(taken))
        self._busy(Kind.LEARN, self._cluster.learner_seconds)
        for index, replica in enumerate(self._replicas):
            replica.publish(self._now, self._version + 1, self._cluster.publish_seconds)
            self._look_again(index)
        self._busy(Kind.PUBLISH, self._cluster.publish_seconds)
        self._version += 1
        self._num_taken = 0
        self._is_settled = True

    def totals(self) -> _Totals:
        """Everything since the beginning."""
        for replica in self._replicas:
            replica.advance(self._now)
        return _Totals(
            seconds=self._now,
            busy_seconds=sum(replica.busy_seconds for replica in self._replicas),
            sequence_seconds=sum(replica.sequence_seconds for replica in self._replicas),
            learner_seconds=self._learner_seconds,
            num_samples=self._num_samples,
            tokens=self._tokens.copy(),
            oldest=self._oldest.copy(),
        )

    def _fill(self) -> None:
        """Submits as many groups as may start."""
        workload = self._workload
        ahead = workload.max_staleness * workload.num_groups
        count = room(workload.num_groups, ahead, self._num_taken, len(self._open))
        if count:
            drawn = workload.lengths(self._length_rng, count, workload.group_size)
            touched = set()
            for index in self._cluster.order(drawn.predicted.tolist()):
                touched |= self._submit(drawn, index)
            for replica in touched:
                self._start_queued(replica)

    def _submit(self, drawn: Lengths, index: int) -> set[int]:
        """Sends a group's completions to their replicas; returns which."""
        predicted = float(drawn.predicted[index])
        group = _Group(
            f"group {next(self._num_groups)}",
            predicted,
            self._workload.group_size,
            deadline=self._version + self._workload.max_staleness,
        )
        self._open.append(group)
        places = self._cluster.place(self._loads, self._workload.group_size)
        cached: set[int] = set()
        for num_tokens, place in zip(drawn.tokens[index].tolist(), places, strict=True):
            prefill_tokens = 0 if place in cached else self._workload.prompt_tokens
            cached.add(place)
            self._loads[place] += predicted
            self._replicas[place].submit(
                Sampled(owner=group, num_tokens=num_tokens, prefill_tokens=prefill_tokens)
            )
        return cached

    def _start_queued(self, index: int) -> None:
        self._replicas[index].start_queued(self._now)
        self._look_again(index)

    def _look_again(self, index: int) -> None:
        """The replica's next end has moved; the entry that is on the heap is void."""
        self._stamps[index] += 1
        end = self._replicas[index].next_end()
        if end is not None:
            heapq.heappush(self._ends, (end, self._stamps[index], index))

    def _next_event(self) -> None:
        """Goes to the next end of a sequence."""
        end, stamp, index = heapq.heappop(self._ends)
        if stamp == self._stamps[index]:
            self._now = end
            for ended in self._replicas[index].pop_ended(end):
                self._collect(index, ended)
            self._start_queued(index)
            self._fill()

    def _collect(self, index: int, ended: Ended[_Group]) -> None:
        group = ended.owner
        self._loads[index] -= group.predicted
        self._tell(Kind.GENERATE, f"replica {index}", group.name, ended.start)
        group.completions.append(ended.by_version)
        group.missing -= 1
        if group.missing == 0:
            self._is_settled = True
            group.is_ready = bool(self._keep_rng.random() < self._workload.kept_share)
            self._num_ready += group.is_ready
            if not group.is_ready:
                self._open.remove(group)

    def _choose(self) -> list[int] | None:
        """Positions of the groups that the update takes; None while it waits."""
        num_groups = self._workload.num_groups
        # The answer changes only when a group has settled, and is slow to find.
        if not self._is_settled or self._num_ready < num_groups:
            return None
        self._is_settled = False
        return choose(
            [group.is_ready for group in self._open],
            [group.deadline for group in self._open],
            num_groups,
            self._version,
            num_groups,
        )

    def _take(self, positions: Sequence[int]) -> list[_Group]:
        batch = [self._open[position] for position in positions]
        taken = set(positions)
        self._open = [g for position, g in enumerate(self._open) if position not in taken]
        self._num_ready -= len(batch)
        self._num_taken += len(batch)
        return batch

    def _train_on(self, batch: Sequence[_Group]) -> None:
        for group in batch:
            self._num_samples += len(group.completions)
            for by_version in group.completions:
                self._oldest[self._version - min(by_version)] += sum(by_version.values())
                for version, num_tokens in by_version.items():
                    self._tokens[self._version - version] += num_tokens

    def _busy(self, kind: Kind, seconds: float) -> None:
        """The learner works; the engines go on."""
        start, until = self._now, self._now + seconds
        while self._ends and self._ends[0][0] <= until:
            self._next_event()
        self._now = until
        self._learner_seconds += seconds
        self._tell(kind, LEARNER, f"update {self._version}", start)

    def _tell(self, kind: Kind, lane: str, name: str, start: float) -> None:
        self._on_activity(Activity(kind=kind, lane=lane, name=name, start=start, end=self._now))


def _report(before: _Totals, after: _Totals, num_steps: int, cluster: Cluster) -> Report:
    seconds = after.seconds - before.seconds
    busy_seconds = after.busy_seconds - before.busy_seconds
    sequence_seconds = after.sequence_seconds - before.sequence_seconds
    tokens = _added(before.tokens, after.tokens)
    return Report(
        seconds_per_step=seconds / num_steps,
        tokens_per_second=sum(tokens.values()) / seconds,
        samples_per_second=(after.num_samples - before.num_samples) / seconds,
        engine_idle_share=1 - busy_seconds / (seconds * cluster.num_replicas),
        engine_occupancy=sequence_seconds / (busy_seconds * cluster.max_running),
        learner_idle_share=1 - (after.learner_seconds - before.learner_seconds) / seconds,
        staleness=_shares(tokens),
        oldest_staleness=_shares(_added(before.oldest, after.oldest)),
    )


def _added(before: Mapping[int, float], after: Mapping[int, float]) -> dict[int, float]:
    return {value: count - before.get(value, 0.0) for value, count in after.items()}


def _shares(counts: Mapping[int, float]) -> dict[int, float]:
    total = sum(counts.values())
    return {value: counts[value] / total for value in sorted(counts) if counts[value]}
