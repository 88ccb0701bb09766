"""Token-budget micro-batches: which rows go through the model together, and on which rank."""

import heapq
from collections import defaultdict
from collections.abc import Sequence
from typing import NamedTuple

from data.types import TokenIds
from rl.learner.batch import TokenRow
from rl.learner.prefix_forest import depth_first, num_distinct, shared_prefixes

PASS_TOKENS = 512
"""What a forward and backward pass costs beside its tokens, in tokens; on GPUs their launches."""

MicroBatches = list[list[int]]
"""Row numbers of every micro-batch of one rank."""


class Bundle(NamedTuple):
    """Rows of one group that run together, and the tokens of their prefix forest."""

    rows: list[int]
    num_tokens: int


def plan_microbatches(
    lengths: Sequence[int], num_ranks: int, max_tokens: int
) -> list[MicroBatches]:
    """Spreads rows of `lengths` tokens over ranks and cuts them into micro-batches.

    Ranks are balanced by tokens. A micro-batch holds rows of similar length, as many as cost least
    (`packed`). Every rank gets the same number of micro-batches, because collectives must match;
    the missing ones are empty and stand for a row that trains nothing.
    """
    shards = balanced_shards(lengths, num_ranks)
    return equally_many([packed(shard, lengths, max_tokens) for shard in shards])


def equally_many(plans: Sequence[MicroBatches]) -> list[MicroBatches]:
    """`plans`, each with empty micro-batches up to the number of the longest."""
    count = max(len(plan) for plan in plans)
    return [plan + [[] for _ in range(count - len(plan))] for plan in plans]


def plan_forests(
    rows: Sequence[TokenIds], groups: Sequence[int], num_ranks: int, max_tokens: int
) -> list[MicroBatches]:
    """As `plan_microbatches`, for rows that become prefix forests: no padding, shared tokens once.

    What is spread and never cut are `bundles`: whole groups, unless they exceed `max_tokens` or a
    rank's even share of all tokens.
    """
    even_share = -(-num_distinct(rows) // num_ranks)
    found = bundles(rows, groups, min(max_tokens, even_share))
    sizes = [bundle.num_tokens for bundle in found]
    plans = [filled(shard, sizes, max_tokens) for shard in balanced_shards(sizes, num_ranks)]
    return equally_many(
        [[[row for part in micro for row in found[part].rows] for micro in plan] for plan in plans]
    )


def bundles(rows: Sequence[TokenIds], groups: Sequence[int], max_tokens: int) -> list[Bundle]:
    """The rows of each group, depth first, cut where a forest would exceed `max_tokens`.

    A row beyond them is alone.
    """
    members: dict[int, list[int]] = defaultdict(list)
    for number in depth_first(rows):
        members[groups[number]].append(number)
    found: list[Bundle] = []
    for numbers in members.values():
        size = 0
        shared = shared_prefixes([rows[number] for number in numbers])
        for number, num_shared in zip(numbers, shared, strict=True):
            size += len(rows[number]) - num_shared
            if num_shared and size <= max_tokens:
                found[-1] = Bundle([*found[-1].rows, number], size)
            else:
                size = len(rows[number])
                found.append(Bundle([number], size))
    return found


def filled(parts: Sequence[int], sizes: Sequence[int], max_tokens: int) -> MicroBatches:
    """`parts`, largest first, each in the first micro-batch that has room for its tokens."""
    plan: MicroBatches = []
    rooms: list[int] = []
    for part in parts:
        place = next((i for i, room in enumerate(rooms) if sizes[part] <= room), len(rooms))
        if place == len(rooms):
            plan.append([])
            rooms.append(max_tokens)
        plan[place].append(part)
        rooms[place] -= sizes[part]
    return plan


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


def padding_metrics(
    minibatches: Sequence[Sequence[TokenRow]], plans: Sequence[Sequence[MicroBatches]]
) -> dict[str, float]:
    """Forward passes of one rank, and the share of their tokens that is padding."""
    padded = real = 0
    for micro in all_microbatches(minibatches, plans):
        lengths = [row.num_tokens for row in micro]
        padded += len(micro) * max(lengths, default=0)
        real += sum(lengths)
    return {"microbatches": num_passes(plans), "padding_share": 1 - real / padded}


def forest_metrics(
    minibatches: Sequence[Sequence[TokenRow]], plans: Sequence[Sequence[MicroBatches]]
) -> dict[str, float]:
    """As `padding_metrics`, and the share of the rows' tokens that is not computed again."""
    distinct = real = 0
    for micro in all_microbatches(minibatches, plans):
        distinct += num_distinct([row.token_ids for row in micro])
        real += sum(row.num_tokens for row in micro)
    shared = 1 - distinct / real
    return {"microbatches": num_passes(plans), "padding_share": 0.0, "shared_share": shared}


def all_microbatches(
    minibatches: Sequence[Sequence[TokenRow]], plans: Sequence[Sequence[MicroBatches]]
) -> list[list[TokenRow]]:
    """The rows of every micro-batch of every rank."""
    return [
        [rows[number] for number in micro]
        for rows, plan in zip(minibatches, plans, strict=True)
        for of_rank in plan
        for micro in of_rank
    ]


def num_passes(plans: Sequence[Sequence[MicroBatches]]) -> float:
    """Forward passes of one rank; all have equally many."""
    return float(sum(len(plan[0]) for plan in plans))
