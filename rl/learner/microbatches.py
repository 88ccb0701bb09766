"""Token-budget micro-batches: which rows go through the model together, and on which rank."""

import heapq
from collections.abc import Sequence

PASS_TOKENS = 512
"""What a forward and backward pass costs beside its tokens, in tokens; on GPUs their launches."""

MicroBatches = list[list[int]]
"""Row numbers of every micro-batch of one rank."""


def plan_microbatches(
    lengths: Sequence[int], num_ranks: int, max_tokens: int
) -> list[MicroBatches]:
    """Spreads rows of `lengths` tokens over ranks and cuts them into micro-batches.

    Ranks are balanced by tokens. A micro-batch holds rows of similar length, as many as cost least
    (`packed`). Every rank gets the same number of micro-batches, because collectives must match;
    the missing ones are empty and stand for a row that trains nothing.
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
    """The cut of `rows`, longest first, into the runs that cost least.

    A run of n rows costs n times its longest row, padding included, plus `PASS_TOKENS`; it holds at
    most `max_tokens`, unless it is one row. Least cost from row i on, from the last row to the
    first: c[i] = min over ends j of (j - i) lengths[i] + PASS_TOKENS + c[j].
    """
    costs, ends = [0] * (len(rows) + 1), [0] * len(rows)
    for start in reversed(range(len(rows))):
        longest = lengths[rows[start]]
        last = min(len(rows), start + max(1, max_tokens // longest))
        costs[start], ends[start] = min(
            ((end - start) * longest + PASS_TOKENS + costs[end], end)
            for end in range(start + 1, last + 1)
        )
    plan, start = [], 0
    while start < len(rows):
        plan.append(list(rows[start : ends[start]]))
        start = ends[start]
    return plan
