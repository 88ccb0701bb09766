"""Which drafts are worth verifying: the pure argmax of expected tokens per second over a step.

Flow: acceptance of each slot -> `survivals` -> `goodputs` of verifying the n best slots, for every
n -> the argmax -> `admitted`, how many slots of each row these are.
"""

import numpy as np
from numpy.typing import NDArray

from rollout.drafting.step_cost import Floats

Counts = NDArray[np.int64]


def positions(lengths: Counts) -> Counts:
    """The position, from 0, of every slot in its row's chain [slots]; `lengths` [rows]."""
    starts = np.cumsum(lengths) - lengths
    return np.arange(int(lengths.sum())) - np.repeat(starts, lengths)


def survivals(acceptance: Floats, lengths: Counts) -> Floats:
    """s_j = a_1 ... a_j: the probability that slot j of a row is accepted [slots].

    `acceptance` [slots] is that of a slot whose predecessors are accepted, row after row.
    """
    padded = np.ones((len(lengths), int(lengths.max(initial=0))))
    rows, columns = np.repeat(np.arange(len(lengths)), lengths), positions(lengths)
    padded[rows, columns] = acceptance
    return np.asarray(np.cumprod(padded, axis=1)[rows, columns], dtype=np.float64)


def expected_accepted(survival: Floats, lengths: Counts, kept: Counts) -> float:
    """sum of s_j over the first `kept` [rows] slots of every row: accepted tokens to expect."""
    return float(survival[positions(lengths) < np.repeat(kept, lengths)].sum())


def goodputs(survival: Floats, rows: int, seconds: Floats) -> Floats:
    """(B + sum of the n largest survivals) / seconds[n]: tokens per second, by n [slots + 1].

    SmartSpec (arXiv:2406.14066) with a survival per slot instead of one per position, as in vLLM
    0.32's adaptive verification. `seconds` [slots + 1] holds drafting and the step itself; each of
    the B rows emits one token whatever becomes of its drafts.
    """
    best_first = np.sort(survival)[::-1]
    return (rows + np.concatenate([[0.0], np.cumsum(best_first)])) / seconds


def admitted(survival: Floats, lengths: Counts, num_slots: int) -> Counts:
    """How many slots of each row are among the `num_slots` of largest survival [rows].

    Survival never rises along a row and ties keep their order, so these are prefixes of the chains.
    """
    winners = np.argsort(-survival, kind="stable")[:num_slots]
    owners = np.repeat(np.arange(len(lengths)), lengths)
    return np.bincount(owners[winners], minlength=len(lengths))
