"""A reward of a user's that draws from the global random number generators of its process."""

import random
from collections.abc import Sequence

import numpy as np
import torch

from data.types import Group, Score, Verdict


def noisy(groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]) -> list[list[Score]]:
    """Correctness plus a little noise from python, numpy and torch."""
    return [[_score(bool(verdict.correct)) for verdict in group] for group in verdicts]


def _score(correct: bool) -> Score:
    parts = {
        "correct": float(correct),
        "python": 0.1 * random.random(),
        "numpy": 0.1 * float(np.random.random()),
        "torch": 0.1 * float(torch.rand(())),
    }
    return Score(correct=correct, parts=parts, total=sum(parts.values()))
