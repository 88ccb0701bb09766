"""Draft lengths before the step-cost table exists: after full acceptance longer, else shorter."""

import numpy as np

from rollout.drafting.goodput import Counts

FIRST_LENGTH = 7
LONGEST = 8
NUM_TRIED = 4
"""Lengths of one round: the heuristic's own, a half, a quarter and an eighth of it."""


def next_length(length: int, accepted: Counts, verified: Counts) -> int:
    """length + 2 if any row accepted all that was verified of it, else length - 1; from 1 to 8.

    After BASS (arXiv:2404.15778), which also starts at 7 and shortens in larger steps: here the
    measured table takes over soon. `accepted` and `verified` [rows]; rows without drafts say
    nothing.
    """
    drafting = verified > 0
    if not drafting.any():
        return length
    is_full = bool(np.any(accepted[drafting] >= verified[drafting]))
    return min(length + 2, LONGEST) if is_full else max(length - 1, 1)


def tried_length(length: int, step: int) -> int:
    """`length` halved 0 to 3 times in turn, at least 1: the table is to know short drafts too."""
    return max(1, length >> step % NUM_TRIED)
