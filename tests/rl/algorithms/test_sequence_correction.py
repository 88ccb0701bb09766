import math

import pytest
import torch

from rl.algorithms.sequence_correction import (
    banded_product_weights,
    product_weights,
    within_geometric_band,
    within_k3_bound,
    worth_learning_from,
)

# Products 4, 1.5, 0.25, 1.
LOG_SUMS = torch.tensor([4.0, 1.5, 0.25, 1.0]).log()


def test_a_response_weighs_its_product_up_to_the_cap() -> None:
    assert product_weights(LOG_SUMS, 2.0).tolist() == pytest.approx([2.0, 1.5, 0.25, 1.0])
    assert product_weights(LOG_SUMS, 5.0).tolist() == pytest.approx([4.0, 1.5, 0.25, 1.0])


def test_a_product_outside_the_band_weighs_nothing() -> None:
    weights = banded_product_weights(LOG_SUMS, 0.5, 2.0)
    assert weights.tolist() == pytest.approx([0.0, 1.5, 0.0, 1.0])


def test_products_are_clamped_to_20_nats() -> None:
    sums = torch.tensor([25.0, -25.0])
    assert product_weights(sums, math.inf).log().tolist() == pytest.approx([20.0, -20.0])
    assert banded_product_weights(sums, 0.0, math.inf).log().tolist() == pytest.approx([20, -20])


def test_weights_carry_no_gradient() -> None:
    sums = torch.tensor([0.1], requires_grad=True)
    assert not product_weights(sums, 2.0).requires_grad
    assert not banded_product_weights(sums, 0.5, 2.0).requires_grad


def test_the_geometric_mean_does_not_grow_with_the_length() -> None:
    """A mean log rho of 2e-4: over 8,000 tokens the product is 4.95, the geometric mean 1.0002."""
    mean = torch.tensor([2e-4])
    assert product_weights(8000 * mean, 10.0).item() == pytest.approx(4.95, abs=5e-3)
    assert within_geometric_band(mean, 0.999, 1.001).all()
    assert banded_product_weights(8000 * mean, 0.5, 2.0).item() == 0


def test_geometric_means_outside_the_band_are_refused_on_both_sides() -> None:
    # Geometric means 0.997, 0.9995, 1.0005, 1.002.
    log_means = torch.tensor([0.997, 0.9995, 1.0005, 1.002]).log()
    kept = within_geometric_band(log_means, 0.999, 1.001)
    assert kept.tolist() == [False, True, True, False]


def test_deviations_that_cancel_escape_the_geometric_mean_and_not_k3() -> None:
    """Ratios 2 and 0.5: geometric mean 1, k3 (2 - 1 - log 2 + 0.5 - 1 + log 2) / 2 = 0.25."""
    assert within_geometric_band(torch.tensor([0.0]), 0.999, 1.001).all()
    assert within_k3_bound(torch.tensor([0.25, 0.0]), 0.2).tolist() == [False, True]


def test_the_ends_of_every_range_belong_to_it() -> None:
    one = torch.tensor([0.0])
    assert banded_product_weights(one, 1.0, 2.0) == banded_product_weights(one, 0.5, 1.0) == 1
    assert within_geometric_band(one, 1.0, 2.0) and within_geometric_band(one, 0.5, 1.0)
    assert within_k3_bound(torch.tensor([0.25]), 0.25)
    assert worth_learning_from(torch.tensor([-1.0]), torch.tensor([0.25]), 0.25)


def test_only_what_is_bad_and_far_from_the_policy_is_not_learned_from() -> None:
    advantages = torch.tensor([1.0, -1.0, 1.0, -1.0, 0.0])
    gaps = torch.tensor([0.6, 0.6, 0.4, 0.4, 0.6])
    kept = worth_learning_from(advantages, gaps, 0.5)
    assert kept.tolist() == [True, False, True, True, True]


def test_a_statistic_that_is_not_a_number_keeps_nothing() -> None:
    broken = torch.tensor([math.nan])
    assert banded_product_weights(broken, 0.5, 2.0) == 0
    assert not within_geometric_band(broken, 0.5, 2.0)
    assert not within_k3_bound(broken, 0.01)
