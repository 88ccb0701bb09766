"""The synchronous loop with windows, simulated: no completion adds more than W tokens to a step.

Flow of a step: continuations first, then fresh completions, until the batch is full -> up to W
tokens each, after the prefill of prompt and earlier windows -> learner -> publication. T-PPO
(arXiv:2506.15050): the policy learns from this window's tokens, so that none is older than 0.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np

from rollout.simulation.cluster import Cluster, Workload
from rollout.simulation.replica import Replica, Sampled
from rollout.simulation.simulator import Report


@dataclass(slots=True)
class _Open:
    """A completion that has not ended: tokens that are there, and tokens that are to come."""

    done: int
    left: int


@dataclass(frozen=True, slots=True, kw_only=True)
class _Step:
    seconds: float
    busy_seconds: float
    sequence_seconds: float
    num_tokens: int
    num_ended: int


def simulate_windows(
    cluster: Cluster, workload: Workload, window: int, num_steps: int, seed: int
) -> Report:
    """Runs `num_steps` updates once all that began in the first one has ended.

    Every piece goes to the replica with the fewest tokens to do; the order, placement, staleness
    and kept share of `cluster` and `workload` play no part. Samples are the completions that ended.
    """
    if window < 1:
        raise ValueError(f"window={window}: set it to 1 token or more")
    fresh = _completions(workload, seed)
    batch = [next(fresh) for _ in range(workload.num_groups * workload.group_size)]
    first = list(batch)
    while any(completion.left for completion in first):
        _step(cluster, workload, batch, window)
        batch = _filled(batch, fresh)
    steps = []
    for _ in range(num_steps):
        steps.append(_step(cluster, workload, batch, window))
        batch = _filled(batch, fresh)
    return _report(cluster, steps)


def _completions(workload: Workload, seed: int) -> Iterator[_Open]:
    """Fresh ones, group after group."""
    rng = np.random.default_rng(seed)
    while True:
        drawn = workload.lengths(rng, workload.num_groups, workload.group_size)
        yield from (_Open(done=0, left=num_tokens) for num_tokens in drawn.tokens.ravel().tolist())


def _filled(batch: Sequence[_Open], fresh: Iterator[_Open]) -> list[_Open]:
    """What has not ended, then fresh ones up to the same number."""
    open_ones = [completion for completion in batch if completion.left]
    return open_ones + [next(fresh) for _ in range(len(batch) - len(open_ones))]


def _step(cluster: Cluster, workload: Workload, batch: Sequence[_Open], window: int) -> _Step:
    """Samples a window of each; the replicas are empty before and after."""
    replicas: list[Replica[None]] = [
        Replica(cluster.decode_seconds, cluster.prefill_seconds_per_token, cluster.max_running)
        for _ in range(cluster.num_replicas)
    ]
    loads, num_tokens = [0] * cluster.num_replicas, 0
    for completion in batch:
        piece = min(window, completion.left)
        place = loads.index(min(loads))
        loads[place] += piece
        prefill_tokens = workload.prompt_tokens + completion.done
        replicas[place].submit(Sampled(owner=None, num_tokens=piece, prefill_tokens=prefill_tokens))
        completion.done += piece
        completion.left -= piece
        num_tokens += piece
    makespan = max(_drained(replica) for replica in replicas)
    return _Step(
        seconds=makespan + cluster.learner_seconds + cluster.publish_seconds,
        busy_seconds=sum(replica.busy_seconds for replica in replicas),
        sequence_seconds=sum(replica.sequence_seconds for replica in replicas),
        num_tokens=num_tokens,
        num_ended=sum(not completion.left for completion in batch),
    )


def _drained(replica: Replica[None]) -> float:
    """When a replica that starts at 0 s has nothing left to do."""
    now = 0.0
    replica.start_queued(now)
    while (end := replica.next_end()) is not None:
        now = end
        replica.pop_ended(now)
        replica.start_queued(now)
    return now


def _report(cluster: Cluster, steps: Sequence[_Step]) -> Report:
    seconds = sum(step.seconds for step in steps)
    busy_seconds = sum(step.busy_seconds for step in steps)
    sequence_seconds = sum(step.sequence_seconds for step in steps)
    learner_seconds = len(steps) * (cluster.learner_seconds + cluster.publish_seconds)
    return Report(
        seconds_per_step=seconds / len(steps),
        tokens_per_second=sum(step.num_tokens for step in steps) / seconds,
        samples_per_second=sum(step.num_ended for step in steps) / seconds,
        engine_idle_share=1 - busy_seconds / (seconds * cluster.num_replicas),
        engine_occupancy=sequence_seconds / (busy_seconds * cluster.max_running),
        learner_idle_share=1 - learner_seconds / seconds,
        staleness={0: 1.0},
        oldest_staleness={0: 1.0},
    )
