"""KL in the reward: each token pays for how far the policy has left the initial model at it.

Arrays hold the trained tokens of one completion [n]; completions follow each other group by group,
B in all.
"""

from collections.abc import Callable, Sequence
from itertools import chain

import numpy as np
from numpy.typing import NDArray

from data.types import Score
from rl.config import AlgorithmConfig

Floats = NDArray[np.float64]

Penalised = Callable[
    [Sequence[Sequence[float]], Sequence[Sequence[Score]], Sequence[Floats]], list[Floats]
]
"""Advantages and scores [P][G] of an update and what each token is yet to pay, B arrays [n], to
advantages per token, B arrays [n]."""


def kl_to_go(log_ratios: Floats) -> Floats:
    """K_t = sum_{s >= t} d_s with d = log policy - log reference: the k1 of what is to come [n].

    REINFORCE++ (arXiv:2501.03262). Undiscounted; its mean over samples is the KL of the rest of the
    answer.
    """
    sums: Floats = log_ratios[::-1].cumsum()[::-1]
    return sums


def less_penalties(returns: Sequence[Sequence[float]], penalties: Sequence[Floats]) -> list[Floats]:
    """R_i - penalty_it: returns [P][G] spread over B arrays [n]."""
    every = chain.from_iterable(returns)
    return [value - penalty for value, penalty in zip(every, penalties, strict=True)]


def penalised(config: AlgorithmConfig) -> Penalised:
    """The advantages of the algorithm less the penalties: of KL no baseline is taken."""
    return lambda advantages, scores, penalties: less_penalties(advantages, penalties)
