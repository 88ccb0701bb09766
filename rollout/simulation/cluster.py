"""What is simulated: machines, a run's work on them, and how groups are ordered and placed."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from rollout.simulation.lengths import LengthModel
from rollout.simulation.replica import DecodeCost

Order = Callable[[Sequence[float]], Sequence[int]]
"""From the predicted tokens of groups to the order in which they are submitted."""
Place = Callable[[Sequence[float], int], Sequence[int]]
"""From the load of each replica, and a group's size, to the replica of each completion."""


def as_drawn(predicted: Sequence[float]) -> Sequence[int]:
    """In the order of the data."""
    return range(len(predicted))


def longest_first(predicted: Sequence[float]) -> Sequence[int]:
    """The longest predicted group first (LPT): the long ones do not start last."""
    return sorted(range(len(predicted)), key=lambda index: -predicted[index])


def pinned(loads: Sequence[float], group_size: int) -> Sequence[int]:
    """A group on the replica of the least load, so that its prompt is prefilled once."""
    return [loads.index(min(loads))] * group_size


def spread(loads: Sequence[float], group_size: int) -> Sequence[int]:
    """A group's completions on the replicas of the least load, around again where they are few."""
    by_load = sorted(range(len(loads)), key=lambda replica: loads[replica])
    return [by_load[index % len(by_load)] for index in range(group_size)]


@dataclass(frozen=True, slots=True, kw_only=True)
class Cluster:
    """The machines. `learner_seconds` are per update, `publish_seconds` pause every engine."""

    num_replicas: int
    max_running: int
    decode_seconds: DecodeCost
    prefill_seconds_per_token: float = 0.0
    learner_seconds: float
    publish_seconds: float
    order: Order = as_drawn
    place: Place = pinned


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What a run asks for. An update takes `num_groups` of `group_size` completions."""

    num_groups: int
    group_size: int
    prompt_tokens: int = 0
    lengths: LengthModel
    max_staleness: int = 0
    kept_share: float = 1.0
    """Of the groups that dynamic sampling keeps; above 0."""
