import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.correction import icepop_weights, truncated_weights
from rl.algorithms.losses import clipped_surrogate

LOGPROBS = st.lists(st.floats(-30, 0), min_size=1, max_size=8)

# Probability ratios old / sampler: 2, 0.5, 9, 0.4.
OLD = torch.tensor([0.5, 0.1, 0.9, 0.2]).log()
SAMPLER = torch.tensor([0.25, 0.2, 0.1, 0.5]).log()


def test_a_token_weighs_its_probability_ratio_up_to_the_cap() -> None:
    assert truncated_weights(OLD, SAMPLER, 2.0).tolist() == pytest.approx([2.0, 0.5, 2.0, 0.4])
    assert truncated_weights(OLD, SAMPLER, 10.0).tolist() == pytest.approx([2.0, 0.5, 9.0, 0.4])


def test_icepop_masks_what_lies_outside_its_band() -> None:
    assert icepop_weights(OLD, SAMPLER, 0.45, 5.0).tolist() == pytest.approx([2.0, 0.5, 0.0, 0.0])
    assert icepop_weights(OLD, SAMPLER, 0.3, 9.5).tolist() == pytest.approx([2.0, 0.5, 9.0, 0.4])


def test_the_ends_of_the_band_belong_to_it() -> None:
    sampler = torch.zeros(3)
    old = torch.tensor([0.5, 1.0, 2.0]).log()
    ratios = old.exp().tolist()
    assert icepop_weights(old, sampler, ratios[0], ratios[2]).tolist() == ratios


def test_a_ratio_that_is_not_a_number_is_masked() -> None:
    assert icepop_weights(torch.tensor([-torch.inf]), torch.tensor([-torch.inf]), 0.5, 5.0) == 0


def test_weights_carry_no_gradient() -> None:
    old = torch.tensor([-1.0], requires_grad=True)
    assert not truncated_weights(old, torch.tensor([-2.0]), 2.0).requires_grad
    assert not icepop_weights(old, torch.tensor([-1.1]), 0.5, 5.0).requires_grad


@given(LOGPROBS, st.floats(0, 1), st.floats(1, 10))
def test_a_sampler_that_is_the_policy_changes_nothing(
    values: list[float], lowest: float, highest: float
) -> None:
    logprobs = torch.tensor(values)
    ones = [1.0] * len(values)
    assert truncated_weights(logprobs, logprobs, highest).tolist() == ones
    assert icepop_weights(logprobs, logprobs, lowest, highest).tolist() == ones


@given(LOGPROBS, LOGPROBS, st.floats(1, 10))
def test_weights_are_positive_and_at_most_the_cap(
    old: list[float], sampler: list[float], cap: float
) -> None:
    size = min(len(old), len(sampler))
    weights = truncated_weights(torch.tensor(old[:size]), torch.tensor(sampler[:size]), cap)
    assert (weights > 0).all() and (weights <= cap).all()


@given(LOGPROBS, LOGPROBS, st.floats(0, 1), st.floats(1, 10))
def test_weights_of_icepop_are_in_the_band_or_0(
    old: list[float], sampler: list[float], lowest: float, highest: float
) -> None:
    size = min(len(old), len(sampler))
    weights = icepop_weights(
        torch.tensor(old[:size]), torch.tensor(sampler[:size]), lowest, highest
    )
    assert ((weights == 0) | ((weights >= lowest) & (weights <= highest))).all()


def test_uncapped_weights_make_the_expectation_that_of_the_old_policy() -> None:
    """sum_x mu(x) rho(x) f(x) = sum_x old(x) f(x), for the surrogate's loss as f."""
    old, sampler = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.3, 0.5])
    theta, advantages = torch.tensor([0.6, 0.3, 0.1]), torch.tensor([1.0, -2.0, 0.5])
    losses = clipped_surrogate(theta / old, advantages, 0.2, 0.28)
    weights = truncated_weights(old.log(), sampler.log(), 100.0)
    assert (sampler * weights * losses).sum().item() == pytest.approx((old * losses).sum().item())
