import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.losses import (
    clipped_surrogate,
    dual_clip_metrics,
    dual_clipped_surrogate,
    importance_ratio,
    kl_cov_penalty,
    positive_example_nll,
    surrogate_metrics,
)

CLIP = (0.2, 0.28)


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (1.0, 2.0, -2.0),  # on policy: -A
        (1.1, 2.0, -2.2),  # inside the band: -r A
        (1.5, 2.0, -2.56),  # above the band, A > 0: -(1 + 0.28) A
        (1.5, -2.0, 3.0),  # above the band, A < 0: not clipped
        (0.5, 2.0, -1.0),  # below the band, A > 0: not clipped
        (0.5, -2.0, 1.6),  # below the band, A < 0: -(1 - 0.2) A
        (0.5, 0.0, 0.0),
    ],
)
def test_worked_examples(ratio: float, advantage: float, expected: float) -> None:
    loss = clipped_surrogate(torch.tensor(ratio), torch.tensor(advantage), *CLIP)
    assert loss.item() == pytest.approx(expected)


def test_on_policy_gradient_is_that_of_reinforce() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -0.5], requires_grad=True)
    advantage = torch.tensor([1.0, -2.0, 0.5])
    ratio = importance_ratio(logprobs, logprobs.detach())
    (surrogate,) = torch.autograd.grad(clipped_surrogate(ratio, advantage, *CLIP).sum(), logprobs)
    (reinforce,) = torch.autograd.grad(-(advantage * logprobs).sum(), logprobs)
    torch.testing.assert_close(surrogate, reinforce)


@given(st.floats(0, 5), st.floats(-3, 3))
def test_the_surrogate_is_a_pessimistic_bound(ratio: float, advantage: float) -> None:
    r, a = (torch.tensor(value, dtype=torch.float64) for value in (ratio, advantage))
    assert clipped_surrogate(r, a, *CLIP).item() >= -(ratio * advantage) - 1e-12


def test_gradient_vanishes_exactly_where_the_metrics_say_clipped() -> None:
    ratio = torch.tensor([0.5, 0.5, 1.0, 1.5, 1.5, 0.8, 1.28], requires_grad=True)
    advantage = torch.tensor([1.0, -1.0, 1.0, 1.0, -1.0, 1.0, -1.0])
    (gradient,) = torch.autograd.grad(clipped_surrogate(ratio, advantage, *CLIP).sum(), ratio)
    metrics = surrogate_metrics(ratio, advantage, *CLIP)
    assert metrics["clip_ratio/low_mean"].tolist() == [0, 1, 0, 0, 0, 0, 0]
    assert metrics["clip_ratio/high_mean"].tolist() == [0, 0, 0, 1, 0, 0, 0]
    assert metrics["clip_ratio/region_mean"].tolist() == [0, 1, 0, 1, 0, 0, 0]
    assert (gradient == 0).tolist() == metrics["clip_ratio/region_mean"].bool().tolist()


def test_the_bounds_themselves_and_zero_advantages_are_not_clipped() -> None:
    # 0.75 and 1.5 are exact in binary.
    ratio, zero = torch.tensor([0.75, 1.5, 0.1, 9.0]), 0.0
    advantage = torch.tensor([-1.0, 1.0, zero, zero])
    metrics = surrogate_metrics(ratio, advantage, 0.25, 0.5)
    assert metrics["clip_ratio/region_mean"].tolist() == [0, 0, 0, 0]


def test_log_ratios_are_clamped_to_twenty() -> None:
    ratio = importance_ratio(torch.tensor([0.0, -1000.0, -1.0]), torch.tensor([-1000.0, 0.0, -1.5]))
    assert ratio.tolist() == pytest.approx([math.exp(20), math.exp(-20), math.exp(0.5)], rel=1e-5)


def test_held_tokens_pay_for_their_distance_in_either_direction() -> None:
    logprobs = torch.tensor([-1.0, -2.0, -3.0, -1.0], requires_grad=True)
    old = torch.tensor([-1.5, -1.5, -1.0, -1.0])
    penalty = kl_cov_penalty(logprobs, old, torch.tensor([True, True, False, True]))
    assert penalty.tolist() == [0.5, 0.5, 0.0, 0.0]
    (gradient,) = torch.autograd.grad(penalty.sum(), logprobs)
    assert gradient.tolist() == [1.0, -1.0, 0.0, 0.0]


def test_right_answers_pay_for_being_unlikely_and_no_others_do() -> None:
    logprobs = torch.tensor([-0.5, -1.0, -2.0, -torch.inf], requires_grad=True)
    nll = positive_example_nll(logprobs, torch.tensor([True, False, True, False]))
    assert nll.tolist() == [0.5, 0.0, 2.0, 0.0]
    (gradient,) = torch.autograd.grad(nll.sum(), logprobs)
    assert gradient.tolist() == [-1.0, 0.0, -1.0, 0.0]


@pytest.mark.parametrize(
    ("ratio", "advantage", "expected"),
    [
        (5.0, -2.0, 6.0),  # beyond c = 3 where A < 0: c |A|
        (2.0, -2.0, 4.0),  # between the band and c: not bounded
        (0.5, -2.0, 1.6),  # below the band: clipped as ever
        (5.0, 2.0, -2.56),  # A > 0: clipped as ever
        (0.5, 2.0, -1.0),
        (5.0, 0.0, 0.0),
    ],
)
def test_dual_clip_bounds_what_a_bad_token_may_cost(
    ratio: float, advantage: float, expected: float
) -> None:
    loss = dual_clipped_surrogate(torch.tensor(ratio), torch.tensor(advantage), *CLIP, 3.0)
    assert loss.item() == pytest.approx(expected)


@given(st.floats(0, 9), st.floats(-3, 3), st.floats(1.01, 9))
def test_dual_clip_is_ppos_objective_held_above_c_times_a(
    ratio: float, advantage: float, dual_clip: float
) -> None:
    r, a = (torch.tensor(value, dtype=torch.float64) for value in (ratio, advantage))
    objective = -clipped_surrogate(r, a, *CLIP).item()
    expected = max(objective, dual_clip * advantage) if advantage < 0 else objective
    loss = dual_clipped_surrogate(r, a, *CLIP, dual_clip)
    assert loss.item() == pytest.approx(-expected)


def test_dual_clip_reports_where_it_stops_the_gradient() -> None:
    ratio = torch.tensor([4.0, 3.0, 4.0, 2.0], requires_grad=True)
    advantage = torch.tensor([-1.0, -1.0, 0.0, -1.0])
    loss = dual_clipped_surrogate(ratio, advantage, *CLIP, 3.0)
    (gradient,) = torch.autograd.grad(loss.sum(), ratio)
    reported = dual_clip_metrics(ratio, advantage, 3.0)["clip_ratio/dual_mean"]
    assert reported.tolist() == [1, 0, 0, 0]
    assert gradient[[0, 3]].tolist() == [0, 1]
