import math

import numpy as np
import pytest

from tests.rollout.vllm.exactness import (
    binomial_range,
    chi_square_p_value,
    holm_rejects,
    largest_deviation_p_value,
    pooled,
)


def largest_deviation(counts, probabilities):
    return largest_deviation_p_value(counts, probabilities, np.random.default_rng(1))


def test_small_cells_are_counted_together():
    counts, probabilities = pooled(np.array([3, 60, 8, 29]), np.array([0.05, 0.6, 0.1, 0.25]))
    # 5 and 10 expected draws are too few together, so the next larger cell joins them
    assert counts.tolist() == [60, 40]
    np.testing.assert_allclose(probabilities, [0.6, 0.4])


def test_cells_that_are_large_together_stay_apart_from_the_rest():
    counts, _ = pooled(np.array([70, 18, 12]), np.array([0.7, 0.15, 0.15]))
    assert counts.tolist() == [70, 30]


def test_chi_square_of_two_degrees_is_an_exponential():
    # (60 - 50)^2 / 50 + (15 - 25)^2 / 25 + 0 = 6, and P(X > 6) = exp(-3) for two degrees
    p_value = chi_square_p_value(np.array([60, 15, 25]), np.array([0.5, 0.25, 0.25]))
    assert p_value == pytest.approx(math.exp(-3))


def test_one_impossible_draw_is_enough():
    counts, probabilities = np.array([99_999, 1]), np.array([1.0, 0.0])
    assert chi_square_p_value(counts, probabilities) == 0.0
    assert largest_deviation(counts, probabilities) == 0.0


def test_a_certain_token_that_was_drawn_is_no_evidence():
    assert chi_square_p_value(np.array([500, 0]), np.array([1.0, 0.0])) == 1.0


def test_holm_holds_the_smallest_against_the_smallest_share():
    # 0.01 / 3, then 0.01 / 2, then 0.01 / 1
    assert holm_rejects([0.9, 0.004, 0.003], 0.01) == [False, True, True]
    assert holm_rejects([0.9, 0.004, 0.0034], 0.01) == [False, False, False]
    assert holm_rejects([0.009], 0.01) == [True]


def test_binomial_range_of_four_coins():
    # 1 4 6 4 1 of 16
    assert binomial_range(4, 0.5, 0.8) == (1, 3)
    assert binomial_range(4, 0.5, 0.95) == (0, 4)


def test_two_hundred_gates_at_1_percent_fail_at_most_six_times():
    # P(X <= 6) = 0.9957 and P(X <= 5) = 0.984 of Binomial(200, 0.01)
    assert binomial_range(200, 0.01, 0.99) == (0, 6)


@pytest.mark.parametrize("test", [chi_square_p_value, largest_deviation])
def test_p_values_are_uniform_where_nothing_is_wrong(test):
    rng, probabilities = np.random.default_rng(0), np.array([0.5, 0.3, 0.15, 0.05])
    p_values = [test(rng.multinomial(2000, probabilities), probabilities) for _ in range(100)]
    low, high = binomial_range(100, 0.2, 0.999)
    assert low <= np.count_nonzero(np.array(p_values) < 0.2) <= high


@pytest.mark.parametrize("test", [chi_square_p_value, largest_deviation])
def test_a_shifted_cell_is_found(test):
    probabilities, shifted = np.full(20, 0.05), np.full(20, 0.05)
    shifted[3], shifted[4] = 0.06, 0.04
    counts = np.random.default_rng(0).multinomial(20_000, shifted)
    assert test(counts, probabilities) < 1e-3
