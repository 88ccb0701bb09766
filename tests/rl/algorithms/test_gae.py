"""Advantages from values: the golden vectors of T-PPO, a slow reference, what must not matter."""

from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from rl.algorithms.gae import (
    explained_variance,
    final_rewards,
    generalized_advantages,
    length_adaptive_traces,
    repeated_values,
    tokens_left,
    whitened,
    without_tail,
)

VALUES = np.array([[0.2, 0.5, 0.4, 0.6]])
ALL = np.ones((1, 4), np.bool_)
ENDED = np.zeros(1)


def traces(value: float, rows: int = 1) -> NDArray[np.float64]:
    return np.full(rows, value)


def test_a_finished_response_of_four_tokens() -> None:
    rewards = final_rewards(np.array([1.0]), ALL)
    found = generalized_advantages(rewards, VALUES, ENDED, ALL, 1.0, traces(0.9))
    np.testing.assert_allclose(found, [[0.6636, 0.404, 0.56, 0.4]], rtol=0, atol=1e-12)


@pytest.mark.parametrize(
    ("trace", "expected"), [(0.9, [0.372, 0.08, 0.2, 0.0]), (1.0, [0.4, 0.1, 0.2, 0.0])]
)
def test_an_unfinished_window_of_four_tokens(trace: float, expected: list[float]) -> None:
    after = repeated_values(VALUES, ALL)
    found = generalized_advantages(np.zeros((1, 4)), VALUES, after, ALL, 1.0, traces(trace))
    np.testing.assert_allclose(found, [expected], rtol=0, atol=1e-12)


def test_the_critics_own_value_credits_the_last_token_of_a_window() -> None:
    # The value rises from 0.6 to 0.8 over the last token: delta = 0.2, and 0.9^k of it before.
    after = np.array([0.8])
    found = generalized_advantages(np.zeros((1, 4)), VALUES, after, ALL, 1.0, traces(0.9))
    np.testing.assert_allclose(found, [[0.372 + 0.9**3 * 0.2, 0.08 + 0.162, 0.38, 0.2]])


def test_a_discount_below_one_makes_a_repeated_value_a_loss() -> None:
    after = repeated_values(VALUES, ALL)
    found = generalized_advantages(np.zeros((1, 4)), VALUES, after, ALL, 0.5, traces(0.0))
    np.testing.assert_allclose(found, [[0.05, -0.3, -0.1, -0.3]])


def test_with_trace_one_the_advantage_is_the_return_less_the_value() -> None:
    rewards = final_rewards(np.array([1.0]), ALL)
    found = generalized_advantages(rewards, VALUES, ENDED, ALL, 1.0, traces(1.0))
    np.testing.assert_allclose(found, 1 - VALUES)


def test_tokens_outside_the_mask_are_passed_over_without_a_decay() -> None:
    values = np.array([[0.2, 9.0, 0.5, 0.4, 9.0, 0.6, 9.0]])
    mask = np.array([[True, False, True, True, False, True, False]])
    rewards = final_rewards(np.array([1.0]), mask)
    found = generalized_advantages(rewards, values, ENDED, mask, 1.0, traces(0.9))
    np.testing.assert_allclose(found, [[0.6636, 0, 0.404, 0.56, 0, 0.4, 0]], rtol=0, atol=1e-12)
    assert repeated_values(values, mask).tolist() == [0.6]


def test_the_only_credited_token_may_be_the_first() -> None:
    mask = np.array([[True, False, False, False]])
    assert repeated_values(VALUES, mask).tolist() == [0.2]
    assert final_rewards(np.array([1.0]), mask).tolist() == [[1.0, 0.0, 0.0, 0.0]]


def test_tokens_are_counted_from_the_end() -> None:
    mask = np.array([[True, True, False, False], [False, True, False, True]])
    assert tokens_left(mask).tolist() == [[2, 1, 0, 0], [2, 2, 1, 1]]
    assert final_rewards(np.array([3.0, 5.0]), mask).tolist() == [[0, 3, 0, 0], [0, 0, 0, 5]]


def test_a_row_without_a_credited_token_is_worth_nothing() -> None:
    mask = np.zeros((1, 4), np.bool_)
    assert repeated_values(VALUES, mask).tolist() == [0.0]
    assert repeated_values(np.zeros((2, 0)), np.zeros((2, 0), np.bool_)).tolist() == [0.0, 0.0]
    assert not final_rewards(np.array([1.0]), mask).any()
    found = generalized_advantages(np.zeros((1, 4)), VALUES, ENDED, mask, 1.0, traces(0.9))
    assert not found.any()


def test_the_trace_grows_with_the_response() -> None:
    lengths = np.array([100.0, 400.0, 1000.0, 8192.0, 24576.0])
    expected = [0.8, 0.95, 0.98, 0.997559, 0.999186]
    np.testing.assert_allclose(length_adaptive_traces(lengths, 0.05, 0.0), expected, atol=1e-6)
    assert length_adaptive_traces(lengths, 0.05, 0.95)[0] == 0.95
    assert length_adaptive_traces(np.array([1.0, 20.0]), 0.05, 0.0).tolist() == [0.0, 0.0]


def test_the_tail_of_an_unfinished_row_is_left_out() -> None:
    mask = np.array([[True, True, False, True, True], [True, True, True, True, False]])
    finished = np.array([False, True])
    kept = without_tail(mask, finished, 2)
    assert kept.tolist() == [[True, True, False, False, False], [True, True, True, True, False]]
    assert without_tail(mask, finished, 0).tolist() == mask.tolist()
    assert not without_tail(mask, finished, 9)[0].any()


def test_whitening_gives_mean_zero_and_unit_spread() -> None:
    # mean 2, unbiased variance 1
    mask = np.array([[True, True, True, False]])
    found = whitened(np.array([[1.0, 2.0, 3.0, 50.0]]), mask, eps=0.0)
    np.testing.assert_allclose(found, [[-1, 0, 1, 0]])
    assert whitened(np.array([[7.0, 50.0]]), np.array([[True, False]])).tolist() == [[0, 0]]
    assert whitened(np.full((1, 3), 0.5), np.ones((1, 3), np.bool_)).tolist() == [[0, 0, 0]]


def test_two_tokens_are_enough_to_whiten_and_one_is_not() -> None:
    # variance 2 of the two; eps is 1e-8
    found = whitened(np.array([[0.0, 2.0]]), np.ones((1, 2), np.bool_))
    np.testing.assert_allclose(found, [[-(0.5**0.5), 0.5**0.5]], rtol=0, atol=1e-8)
    assert whitened(np.array([[2.0]]), np.ones((1, 1), np.bool_)).tolist() == [[0.0]]


def test_explained_variance_of_three_critics() -> None:
    returns = np.array([0.0, 1.0, 1.0, 0.0])
    assert explained_variance(returns, returns) == 1.0
    assert explained_variance(np.full(4, 0.3), returns) == 0.0
    assert explained_variance(1 - returns, returns) == -3.0
    assert np.isnan(explained_variance(returns, np.ones(4)))


@st.composite
def batches(draw: st.DrawFn) -> dict[str, NDArray[Any]]:
    rows, tokens = draw(st.integers(1, 4)), draw(st.integers(1, 7))
    random = np.random.default_rng(draw(st.integers(0, 2**32)))
    return {
        "rewards": random.normal(size=(rows, tokens)),
        "values": random.normal(size=(rows, tokens)),
        "after": random.normal(size=rows),
        "mask": random.random((rows, tokens)) < 0.7,
        "traces": random.random(rows),
    }


def slow(batch: dict[str, NDArray[Any]], row: int, discount: float) -> list[float]:
    """The defining sum over one row's credited tokens, term by term."""
    tokens = np.flatnonzero(batch["mask"][row])
    rewards, values = batch["rewards"][row, tokens], batch["values"][row, tokens]
    following = [*values[1:], batch["after"][row]]
    deltas = [r + discount * v - u for r, v, u in zip(rewards, following, values, strict=False)]
    decay = discount * batch["traces"][row]
    return [
        sum(decay**k * delta for k, delta in enumerate(deltas[start:]))
        for start in range(len(deltas))
    ]


@given(batches(), st.sampled_from([1.0, 0.9]))
def test_the_scan_is_the_defining_sum(batch: dict[str, NDArray[Any]], discount: float) -> None:
    found = generalized_advantages(**batch, discount=discount)
    for row in range(len(found)):
        mine = batch["mask"][row]
        np.testing.assert_allclose(found[row, mine], slow(batch, row, discount), atol=1e-9)
        assert not found[row, ~mine].any()


@given(batches(), st.integers(0, 3))
def test_padding_and_the_order_of_rows_change_nothing(
    batch: dict[str, NDArray[Any]], pad: int
) -> None:
    straight = generalized_advantages(**batch, discount=0.9)
    wide = {
        name: np.pad(array, ((0, 0), (0, pad)))[::-1] if array.ndim == 2 else array[::-1]
        for name, array in batch.items()
    }
    padded = generalized_advantages(**wide, discount=0.9)[::-1]
    np.testing.assert_array_equal(padded[:, : straight.shape[1]], straight)
    assert not padded[:, straight.shape[1] :].any()


@given(batches(), st.floats(-3, 3), st.floats(0.1, 5))
def test_whitening_forgets_shift_and_scale(
    batch: dict[str, NDArray[Any]], shift: float, scale: float
) -> None:
    values, mask = batch["values"], batch["mask"]
    ours = whitened(scale * values + shift, mask, eps=0.0)
    np.testing.assert_allclose(ours, whitened(values, mask, eps=0.0), atol=1e-6)
