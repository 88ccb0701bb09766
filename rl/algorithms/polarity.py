"""An audit of a length term by what it does to advantages.

A term flips a sample when the sign of its advantage with the term is the opposite of the sign
without it. Advantages, correctness and lengths are [P][G].
"""

from collections.abc import Sequence

import numpy as np

Rows = Sequence[Sequence[float]]


def flip_rate(with_term: Rows, without: Rows) -> float:
    """Share of samples with A_i A'_i < 0: those that the term pushes the other way."""
    signs = np.sign(_flat(with_term)) * np.sign(_flat(without))
    return float(np.mean(signs < 0))


def length_only_rate(with_term: Rows, without: Rows) -> float:
    """Share of samples with A_i != 0 and A'_i = 0: what they are pushed by is length alone."""
    return float(np.mean((_flat(with_term) != 0) & (_flat(without) == 0)))


def effective_weight(
    advantages: Rows, correct: Sequence[Sequence[bool]], lengths: Sequence[Sequence[int]]
) -> float:
    """b_n / b_c of the least-squares fit A_i = b_0 + b_c c_i + b_n n_i.

    Correctness c and length n are standardised within their group (population std; 0 where they
    tie), so that rewards by correctness alone give 0. Negative: longer is worse, and one standard
    deviation of length counts that share of one of correctness. NaN where correctness moves no
    advantage.
    """
    right = np.concatenate([_standardised(group) for group in correct])
    length = np.concatenate([_standardised(group) for group in lengths])
    design = np.stack([np.ones_like(right), right, length], axis=1)
    (_, by_correctness, by_length), *_ = np.linalg.lstsq(design, _flat(advantages), rcond=None)
    if abs(by_correctness) < 1e-12:
        return float("nan")
    return float(by_length / by_correctness)


def _standardised(group: Sequence[float]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    values = np.array(group, float)
    spread = values.std()
    return (values - values.mean()) / spread if spread else np.zeros_like(values)


def _flat(rows: Sequence[Sequence[float]]) -> "np.ndarray[tuple[int], np.dtype[np.float64]]":
    return np.concatenate([np.array(row, float) for row in rows])
