"""Drafts by vote: the sequences that stood at this point before say how it goes on.

The greedy walk of suffix decoding (arXiv:2411.04975, section 3) over candidate continuations
instead of tree nodes: a node's children are the next tokens of the candidates that are still with
it, and their counts are weights, so that old outputs count less.
"""

import numpy as np
from numpy.typing import NDArray

from rollout.drafting.suffix_index import NO_TOKEN, Ints

Floats = NDArray[np.float64]


def age_weights(versions_ago: Ints) -> Floats:
    """w = 0.5^b, b = floor(log2(1 + d)): an output d weight versions old counts half per bucket.

    Buckets hold 0 | 1, 2 | 3..6 | 7..14 | ... versions, because a policy moves little in one
    update and an epoch is many updates long. Any shape.
    """
    buckets = np.floor(np.log2(1 + np.maximum(versions_ago, 0)))
    return np.asarray(np.exp2(-buckets))


def walk(
    continuations: NDArray[np.int32], weights: Floats, budgets: Ints, min_probability: float
) -> tuple[list[list[int]], Floats]:
    """The drafts of B sequences, ragged: at each step the token of the largest weight.

    `continuations` [B, M, K] are the next tokens of the candidates, `weights` [B, M] their say; a
    candidate without weight has none. A draft ends after `budgets` [B] tokens, or before the token
    at which the product of the shares of the votes falls below `min_probability`. Beside the drafts
    the share of every drafted token [slots], row after row.
    """
    num_rows, _, num_steps = continuations.shape
    drafts = np.full((num_rows, num_steps), NO_TOKEN, np.int32)
    share_of = np.empty((num_rows, num_steps))
    running = np.ones(num_rows)
    for step in range(num_steps):
        nexts = continuations[:, :, step]
        tokens, shares = vote(nexts, weights * (nexts != NO_TOKEN))
        running *= shares
        going = (running >= min_probability) & (step < budgets)
        if not going.any():
            break
        drafts[going, step] = tokens[going]
        share_of[:, step] = shares
        weights = weights * (going[:, None] & (nexts == tokens[:, None]))
    drafted = drafts != NO_TOKEN
    lengths = drafted.sum(1).tolist()
    ragged = [row[:length] for row, length in zip(drafts.tolist(), lengths, strict=True)]
    return ragged, share_of[drafted]


def vote(nexts: NDArray[np.int32], weights: Floats) -> tuple[NDArray[np.int32], Floats]:
    """The token of the largest total weight and its share of all weight, per row [B].

    `nexts` and `weights` are [B, M]; of equal totals the first wins. A row without weight gets
    share 0. O(M) for a row of one opinion, O(M^2) for another.
    """
    rows, voters = np.arange(len(nexts)), weights > 0
    first = voters.argmax(1)
    tokens, shares = nexts[rows, first], voters[rows, first].astype(np.float64)
    split = (voters & (nexts != tokens[:, None])).any(1)
    if split.any():
        tokens[split], shares[split] = _majority(nexts[split], weights[split])
    return tokens, shares


def _majority(nexts: NDArray[np.int32], weights: Floats) -> tuple[NDArray[np.int32], Floats]:
    rows = np.arange(len(nexts))
    agrees = nexts[:, :, None] == nexts[:, None, :]
    votes = (agrees @ weights[:, :, None])[:, :, 0]
    best = np.where(weights > 0, votes, 0.0).argmax(1)
    return nexts[rows, best], votes[rows, best] / weights.sum(1)
