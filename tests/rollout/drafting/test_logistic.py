import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.drafting.logistic import fitted, penalised_loss, sigmoid


def test_an_intercept_is_the_log_odds_of_the_mean():
    outcomes = np.array([1.0, 1.0, 1.0, 0.0])
    theta = fitted(np.ones((4, 1)), outcomes, np.ones(4), np.zeros(1), 1e-9)
    assert theta[0] == pytest.approx(np.log(3), abs=1e-6)


def test_weights_count_like_repetitions():
    x = np.array([[1.0, 0.3], [1.0, -2.0], [1.0, 1.0]])
    y = np.array([1.0, 0.0, 0.0])
    repeated = [0, 0, 1, 2, 2, 2]
    once = fitted(x, y, np.array([2.0, 1.0, 3.0]), np.zeros(2), 0.1)
    thrice = fitted(x[repeated], y[repeated], np.ones(6), np.zeros(2), 0.1)
    np.testing.assert_allclose(once, thrice, atol=1e-6)


def test_separable_outcomes_are_held_back_by_the_prior():
    theta = fitted(np.ones((16, 1)), np.zeros(16), np.ones(16), np.array([2.0]), 1e-2)
    # 16 p = ridge * (2 - theta)
    assert 16 * sigmoid(theta)[0] == pytest.approx(1e-2 * (2.0 - theta[0]), rel=1e-4)


@given(st.integers(0, 1000))
def test_no_nearby_coefficients_have_a_smaller_loss(seed):
    rng = np.random.default_rng(seed)
    problem = (
        rng.normal(size=(12, 3)) * 5,
        (rng.random(12) < 0.5).astype(float),
        rng.random(12),
        rng.normal(size=3),
        0.05,
    )
    theta = fitted(*problem)
    least = penalised_loss(theta, *problem)
    for direction in rng.normal(size=(20, 3)) * 1e-2:
        assert penalised_loss(theta + direction, *problem) >= least - 1e-9
