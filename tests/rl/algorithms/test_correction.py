import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.config import CorrectionConfig, TruncatedConfig
from rl.algorithms.correction import (
    CORRECTIONS,
    correction_weights,
    truncated_weights,
    truncation_metrics,
)
from rl.algorithms.losses import clipped_surrogate, importance_ratio

LOGPROBS = st.lists(st.floats(-30, 0), min_size=1, max_size=8)


def test_a_token_weighs_its_probability_ratio_up_to_the_cap() -> None:
    old = torch.tensor([0.5, 0.1, 0.9]).log()
    sampler = torch.tensor([0.25, 0.2, 0.1]).log()
    assert truncated_weights(old, sampler, 2.0).tolist() == pytest.approx([2.0, 0.5, 2.0])
    assert truncated_weights(old, sampler, 10.0).tolist() == pytest.approx([2.0, 0.5, 9.0])


def test_weights_carry_no_gradient() -> None:
    old = torch.tensor([-1.0], requires_grad=True)
    assert not truncated_weights(old, torch.tensor([-2.0]), 2.0).requires_grad


def test_metrics_are_the_weight_and_whether_it_is_at_the_cap() -> None:
    metrics = truncation_metrics(torch.tensor([0.5, 2.0, 1.0]), 2.0)
    assert metrics["correction/weight_mean"].tolist() == [0.5, 2.0, 1.0]
    assert metrics["correction/capped_ratio"].tolist() == [0.0, 1.0, 0.0]


@given(LOGPROBS, st.floats(1, 10))
def test_a_sampler_that_is_the_policy_changes_nothing(values: list[float], cap: float) -> None:
    logprobs = torch.tensor(values)
    assert truncated_weights(logprobs, logprobs, cap).tolist() == [1.0] * len(values)


@given(LOGPROBS, LOGPROBS, st.floats(1, 10))
def test_weights_are_positive_and_at_most_the_cap(
    old: list[float], sampler: list[float], cap: float
) -> None:
    size = min(len(old), len(sampler))
    weights = truncated_weights(torch.tensor(old[:size]), torch.tensor(sampler[:size]), cap)
    assert (weights > 0).all() and (weights <= cap).all()


def test_uncapped_weights_make_the_expectation_that_of_the_old_policy() -> None:
    """sum_x mu(x) rho(x) f(x) = sum_x old(x) f(x), for the surrogate's loss as f."""
    old, sampler = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    theta, advantages = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([1.0, -2.0, 0.5])
    losses = clipped_surrogate(theta / old, advantages, 0.2, 0.28)
    weights = truncated_weights(old.log(), sampler.log(), 100.0)
    assert (sampler * weights * losses).sum().item() == pytest.approx((old * losses).sum().item())


def test_every_choice_has_its_weights() -> None:
    old, sampler = torch.tensor([math.log(0.9)]), torch.tensor([math.log(0.1)])
    weights, metrics = correction_weights(CorrectionConfig())(old, sampler)
    assert weights.tolist() == [1.0] and metrics == {}
    weights, metrics = correction_weights(TruncatedConfig(cap=3.0))(old, sampler)
    assert weights.tolist() == [3.0] and set(metrics) == {
        "correction/weight_mean",
        "correction/capped_ratio",
    }
    assert all(issubclass(config, CorrectionConfig) for config in CORRECTIONS)
    assert importance_ratio(old, sampler).item() == pytest.approx(9.0)


def test_a_cap_below_one_is_refused() -> None:
    assert TruncatedConfig(cap=0.5).problems() == ["correction.cap=0.5: set it to 1 or more"]
    assert TruncatedConfig(cap=1.0).problems() == []
