"""Averaging a loss X [B, T] into one number: every mode is one weight per row.

loss = sum_b w_b sum_t m_bt X_bt, with w computed once from the lengths of *all* rows of an
optimizer step. How the rows are then cut into micro-batches and spread over ranks cannot change
the loss. `lengths` are trained tokens per row [B]; a row without any weighs nothing and is not
counted.
"""

from collections.abc import Callable, Sequence
from functools import partial

from rl.config import Aggregation

RowWeights = Callable[[Sequence[int]], list[float]]
"""Trained tokens of every row of one optimizer step [B] to the weight of each row [B]."""


def token_mean(lengths: Sequence[int]) -> list[float]:
    """w_b = 1 / sum of all lengths: every token counts the same.

    DAPO (arXiv:2503.14476, eq. 8).
    """
    total = sum(lengths)
    return [1 / total if length else 0.0 for length in lengths]


def sequence_mean_token_mean(lengths: Sequence[int]) -> list[float]:
    """w_b = 1 / (rows * length_b): every response counts the same.

    GRPO (arXiv:2402.03300, eq. 3).
    """
    rows = num_rows(lengths)
    return [1 / (rows * length) if length else 0.0 for length in lengths]


def sequence_mean_token_sum(lengths: Sequence[int]) -> list[float]:
    """w_b = 1 / rows: the log-probability of a whole response is one term, as in REINFORCE.

    RLOO (arXiv:2402.14740, section 3.2).
    """
    rows = num_rows(lengths)
    return [1 / rows if length else 0.0 for length in lengths]


def sequence_mean_token_sum_norm(lengths: Sequence[int], horizon: int) -> list[float]:
    """w_b = 1 / (rows * horizon): the previous one over a constant, the longest response allowed.

    Dr. GRPO (arXiv:2503.20783, section 3.2).
    """
    rows = num_rows(lengths)
    return [1 / (rows * horizon) if length else 0.0 for length in lengths]


def row_weights(aggregation: Aggregation, horizon: int) -> RowWeights:
    """The function behind `aggregation`; `horizon` is `limit.max_response_tokens`."""
    modes: dict[Aggregation, RowWeights] = {
        Aggregation.token_mean: token_mean,
        Aggregation.sequence_mean_token_mean: sequence_mean_token_mean,
        Aggregation.sequence_mean_token_sum: sequence_mean_token_sum,
        Aggregation.sequence_mean_token_sum_norm: partial(
            sequence_mean_token_sum_norm, horizon=horizon
        ),
    }
    return modes[aggregation]


def num_rows(lengths: Sequence[int]) -> int:
    """Rows with at least one trained token."""
    return sum(1 for length in lengths if length)
