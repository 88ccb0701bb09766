"""Drafts by vote: the sequences that stood at this point before say how it goes on.

The greedy walk of suffix decoding (arXiv:2411.04975, section 3) over candidate continuations
instead of tree nodes: a node's children are the next tokens of the candidates that are still with
it, and their counts are weights, so that old outputs count less.
"""

import numpy as np
from numba import njit
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
    drafts, shares = walk_all(continuations, weights, budgets, min_probability)
    drafted = drafts != NO_TOKEN
    lengths = drafted.sum(1).tolist()
    ragged = [row[:length] for row, length in zip(drafts.tolist(), lengths, strict=True)]
    return ragged, shares[drafted]


@njit(cache=True)
def walk_all(
    continuations: NDArray[np.int32], weights: Floats, budgets: Ints, min_probability: float
) -> tuple[NDArray[np.int32], Floats]:
    """`walk` before it is made ragged: tokens and shares [B, K], `NO_TOKEN` behind each draft."""
    num_rows, _, num_steps = continuations.shape
    drafts = np.full((num_rows, num_steps), NO_TOKEN, np.int32)
    shares = np.zeros((num_rows, num_steps))
    for row in range(num_rows):
        says = weights[row].copy()
        running = 1.0
        for step in range(min(num_steps, budgets[row])):
            nexts = continuations[row, :, step]
            says[nexts == NO_TOKEN] = 0.0
            token, share = vote(nexts, says)
            running *= share
            if running < min_probability:
                break
            drafts[row, step], shares[row, step] = token, share
            says[nexts != token] = 0.0
    return drafts, shares


@njit(cache=True)
def vote(nexts: NDArray[np.int32], weights: Floats) -> tuple[int, float]:
    """The token of the largest total weight and its share of all weight, of M candidates.

    `nexts` and `weights` are [M]; of equal totals the first wins. Without any weight the share
    is 0. O(M) times the number of opinions.
    """
    best, token, everything = 0.0, NO_TOKEN, weights.sum()
    left = weights.copy()
    for candidate in range(len(nexts)):
        if left[candidate] > 0:
            agrees = nexts == nexts[candidate]
            total = weights[agrees].sum()
            left[agrees] = 0.0
            if total > best:
                best, token = total, nexts[candidate]
    return token, best / everything if best else 0.0
