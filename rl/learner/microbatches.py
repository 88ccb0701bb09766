"""Token-budget micro-batches: which rows go through the model together, and on which rank."""

import heapq
from collections.abc import Sequence

MicroBatches = list[list[int]]
"""Row numbers of every micro-batch of one rank."""


def plan_microbatches(
    lengths: Sequence[int], num_ranks: int, max_tokens: int
) -> list[MicroBatches]:
    """Spreads rows of `lengths` tokens over ranks and cuts them into micro-batches.

    Ranks are balanced by tokens. A micro-batch holds rows of similar length and costs its number
    of rows times its longest row, padding included; that is at most `max_tokens`, except that a
    single row longer than that has a micro-batch of its own. Every rank gets the same number of
    micro-batches, because collectives must match; the missing ones are empty and stand for a row
    that trains nothing.
    """
    shards = balanced_shards(lengths, num_ranks)
    plans = [packed(shard, lengths, max_tokens) for shard in shards]
    count = max(len(plan) for plan in plans)
    return [plan + [[] for _ in range(count - len(plan))] for plan in plans]


def balanced_shards(lengths: Sequence[int], num_ranks: int) -> list[list[int]]:
    """Row numbers per rank, longest first, each row given to the rank with the fewest tokens."""
    shards: list[list[int]] = [[] for _ in range(num_ranks)]
    loads = [(0, rank) for rank in range(num_ranks)]
    for row in sorted(range(len(lengths)), key=lambda row: -lengths[row]):
        load, rank = heapq.heappop(loads)
        shards[rank].append(row)
        heapq.heappush(loads, (load + lengths[row], rank))
    return shards


def packed(rows: Sequence[int], lengths: Sequence[int], max_tokens: int) -> MicroBatches:
    """`rows`, sorted longest first, cut greedily so that rows x longest stays in the budget."""
    plan: MicroBatches = []
    for row in rows:
        if plan and (len(plan[-1]) + 1) * lengths[plan[-1][0]] <= max_tokens:
            plan[-1].append(row)
        else:
            plan.append([row])
    return plan
