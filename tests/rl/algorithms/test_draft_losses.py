"""Losses of a draft model: worked examples, gradients by formula, what they do not depend on."""

import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.draft_losses import acceptance, forward_kl, reverse_kl, tvd_plus_plus

LOSSES = [forward_kl, reverse_kl, tvd_plus_plus]
LN2, LN3 = math.log(2), math.log(3)

# p = (3/4, 1/4) against q = (1/2, 1/2).
POLICY = torch.tensor([[LN3, 0.0]], dtype=torch.float64)
DRAFT = torch.zeros(1, 2, dtype=torch.float64)

values = st.lists(st.floats(-6, 6, width=32), min_size=5, max_size=5)


def logits(numbers: list[float]) -> Tensor:
    return torch.tensor([numbers], dtype=torch.float64)


def gradient(loss, draft: Tensor, policy: Tensor) -> Tensor:
    draft = draft.clone().requires_grad_()
    policy = policy.clone().requires_grad_()
    loss(draft, policy).sum().backward()
    assert policy.grad is None
    assert draft.grad is not None
    return draft.grad


def total_variation(draft: Tensor, policy: Tensor) -> Tensor:
    return (policy.detach().softmax(-1) - draft.softmax(-1)).relu().sum(-1)


def test_worked_values() -> None:
    # 3/4 ln(3/2) + 1/4 ln(1/2) and 1/2 ln(2/3) + 1/2 ln 2
    assert forward_kl(DRAFT, POLICY).item() == pytest.approx(0.75 * LN3 - LN2)
    assert reverse_kl(DRAFT, POLICY).item() == pytest.approx(LN2 - 0.5 * LN3)
    assert tvd_plus_plus(DRAFT, POLICY).item() == pytest.approx(0)
    assert acceptance(DRAFT, POLICY).item() == pytest.approx(1 / 2 + 1 / 4)


def test_worked_gradients() -> None:
    # q - p; q (log q/p - KL); and -q A with A = (1, -1): p is larger on half of q's mass.
    reverse = 0.5 * (LN2 - (LN2 - 0.5 * LN3))
    expected = {forward_kl: 0.25, reverse_kl: reverse, tvd_plus_plus: 0.5}
    for loss, size in expected.items():
        found = gradient(loss, DRAFT, POLICY)[0].tolist()
        assert found == pytest.approx([-size, size])


def test_tvd_plus_plus_normalises_where_the_reward_is_rare() -> None:
    # q = (1/5, 4/5), p = (1/2, 1/2): r = (1, 0), mean 1/5, deviation 2/5, A = (2, -1/2).
    draft, policy = logits([0.0, 2 * LN2]), logits([0.0, 0.0])
    assert gradient(tvd_plus_plus, draft, policy)[0].tolist() == pytest.approx([-0.4, 0.4])


@given(values, values)
def test_gradient_of_tvd_plus_plus_is_that_of_the_distance_over_the_rewards_deviation(
    draft: list[float], policy: list[float]
) -> None:
    found = gradient(tvd_plus_plus, logits(draft), logits(policy))
    distance = gradient(total_variation, logits(draft), logits(policy))
    p, q = logits(policy).softmax(-1), logits(draft).softmax(-1)
    mass = q[p > q].sum()
    deviation = (mass * (1 - mass)).sqrt()
    if deviation > 1e-4:
        torch.testing.assert_close(found, distance / deviation, rtol=1e-6, atol=1e-9)
    assert found.abs().sum() <= 2 * deviation + 1e-6


@pytest.mark.parametrize("loss", LOSSES)
@given(draft=values, policy=values, shift=st.floats(-5, 5))
def test_only_distributions_count_and_no_gradient_moves_all_logits(
    loss, draft: list[float], policy: list[float], shift: float
) -> None:
    found = gradient(loss, logits(draft), logits(policy))
    assert found.sum().item() == pytest.approx(0, abs=1e-9)
    shifted = loss(logits(draft) + shift, logits(policy) - shift)
    torch.testing.assert_close(shifted, loss(logits(draft), logits(policy)), rtol=0, atol=1e-9)


@given(values, values)
def test_divergences_are_not_negative_and_mirror_each_other(
    draft: list[float], policy: list[float]
) -> None:
    q, p = logits(draft), logits(policy)
    assert forward_kl(q, p).item() >= -1e-12
    assert reverse_kl(q, p).item() == pytest.approx(forward_kl(p, q).item(), abs=1e-12)
    # Pinsker: TV <= sqrt(KL / 2); a KL that cancels to 0 is only known to rounding.
    distance = total_variation(q, p).item()
    assert acceptance(q, p).item() == pytest.approx(1 - distance)
    assert distance <= math.sqrt((max(0.0, forward_kl(q, p).item()) + 1e-14) / 2)


@pytest.mark.parametrize("loss", LOSSES)
@given(policy=values)
def test_a_draft_model_that_is_the_policy_has_nothing_to_learn(loss, policy: list[float]) -> None:
    p = logits(policy)
    assert loss(p, p).item() == pytest.approx(0, abs=1e-12)
    assert gradient(loss, p, p).abs().max().item() < 1e-12
    assert acceptance(p, p).item() == pytest.approx(1)


@pytest.mark.parametrize("loss", LOSSES)
def test_following_the_gradient_brings_the_draft_model_to_the_policy(loss) -> None:
    policy, draft = logits([2.0, 1.0, 0.0, -1.0, -2.0]), logits([0.0, 0.0, 0.0, 1.0, 1.0])
    for _ in range(3000):
        draft = draft - 0.02 * gradient(loss, draft, policy)
    assert acceptance(draft, policy).item() > 0.98


@pytest.mark.parametrize("function", [*LOSSES, acceptance])
def test_every_token_stands_for_itself(function) -> None:
    generator = torch.Generator().manual_seed(0)
    draft, policy = torch.randn(2, 2, 3, 5, generator=generator, dtype=torch.float64)
    alone = [function(q[None], p[None]) for q, p in zip(draft[0], policy[0], strict=True)]
    torch.testing.assert_close(function(draft, policy)[0], torch.cat(alone))
    if function is not acceptance:
        together = gradient(function, draft, policy)
        first = gradient(function, draft[0, :1], policy[0, :1])
        torch.testing.assert_close(together[0, :1], first)
