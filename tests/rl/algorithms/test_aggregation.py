import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.aggregation import (
    num_rows,
    row_weights,
    sequence_mean_token_mean,
    sequence_mean_token_sum,
    sequence_mean_token_sum_norm,
    token_mean,
)
from rl.config import Aggregation

# Two rows of losses [1, 1] and [2, 2, 2, 2], and a row without a trained token.
LENGTHS = [2, 4, 0]
SUMS = [2, 8, 0]


def loss(weights: list[float]) -> float:
    return sum(weight * total for weight, total in zip(weights, SUMS, strict=True))


@pytest.mark.parametrize(
    ("aggregation", "expected"),
    [
        (Aggregation.token_mean, 10 / 6),
        (Aggregation.sequence_mean_token_mean, 1.5),
        (Aggregation.sequence_mean_token_sum, 5.0),
        (Aggregation.sequence_mean_token_sum_norm, 0.625),
    ],
)
def test_worked_example_at_horizon_eight(aggregation: Aggregation, expected: float) -> None:
    assert loss(row_weights(aggregation, horizon=8)(LENGTHS)) == pytest.approx(expected)


@pytest.mark.parametrize("aggregation", list(Aggregation))
def test_a_row_without_trained_tokens_weighs_nothing(aggregation: Aggregation) -> None:
    assert row_weights(aggregation, horizon=8)([0, 3])[0] == 0.0
    assert row_weights(aggregation, horizon=8)([0, 0]) == [0.0, 0.0]


@given(st.lists(st.integers(1, 50), min_size=1, max_size=20))
def test_a_constant_loss_averages_to_itself(lengths: list[int]) -> None:
    for mean in (token_mean, sequence_mean_token_mean):
        total = sum(w * n for w, n in zip(mean(lengths), lengths, strict=True))
        assert total == pytest.approx(1.0)


@given(st.lists(st.integers(0, 50), min_size=1, max_size=20), st.integers(1, 100))
def test_norm_is_the_token_sum_over_the_horizon(lengths: list[int], horizon: int) -> None:
    sums = sequence_mean_token_sum(lengths)
    norm = sequence_mean_token_sum_norm(lengths, horizon)
    assert norm == pytest.approx([weight / horizon for weight in sums])


def test_rows_are_counted_by_having_a_trained_token() -> None:
    assert num_rows([3, 0, 1]) == 2
