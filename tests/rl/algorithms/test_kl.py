import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.kl import KL, k1, k2, k3
from rl.config import KlEstimator

# log policy - log reference is +0.5 and -0.5.
POLICY = torch.tensor([-1.0, -2.0])
REFERENCE = torch.tensor([-1.5, -1.5])


def test_worked_examples() -> None:
    assert k1(POLICY, REFERENCE).tolist() == [0.5, -0.5]
    assert k2(POLICY, REFERENCE).tolist() == [0.125, 0.125]
    assert k3(POLICY, REFERENCE).tolist() == pytest.approx([0.1065, 0.1487], abs=5e-5)


def test_k3_is_clamped_where_it_would_overflow() -> None:
    value = k3(torch.tensor([-1000.0]), torch.tensor([0.0]))
    assert value.item() == pytest.approx(math.exp(20) - 21, rel=1e-6)
    assert k3(torch.tensor([0.0]), torch.tensor([-1000.0])).item() == pytest.approx(19.0, abs=1e-4)


@given(st.floats(-30, 0), st.floats(-30, 0))
def test_k3_is_never_negative(policy: float, reference: float) -> None:
    tensors = (torch.tensor(value, dtype=torch.float64) for value in (policy, reference))
    assert k3(*tensors).item() >= -1e-12


def expectation(estimate: Tensor, probabilities: Tensor) -> float:
    return float((probabilities * estimate).sum())


def test_k1_and_k3_are_unbiased_over_the_whole_vocabulary() -> None:
    policy, reference = torch.tensor([0.5, 0.3, 0.2]), torch.tensor([0.2, 0.2, 0.6])
    kl = float((policy * (policy / reference).log()).sum())
    for estimator in (k1, k3):
        estimate = estimator(policy.log(), reference.log())
        assert expectation(estimate, policy) == pytest.approx(kl, rel=1e-5)


def test_gradient_of_k2_under_sampling_is_that_of_the_divergence() -> None:
    logits = torch.tensor([0.3, -0.2, 0.1], requires_grad=True)
    reference = torch.tensor([0.2, 0.2, 0.6]).log()
    logprobs = logits.log_softmax(-1)
    (exact,) = torch.autograd.grad(
        (logprobs.exp() * (logprobs - reference)).sum(), logits, retain_graph=True
    )
    sampled = (logprobs.exp().detach() * k2(logprobs, reference)).sum()
    (estimated,) = torch.autograd.grad(sampled, logits)
    torch.testing.assert_close(estimated, exact)


def test_table_names_each_estimator() -> None:
    assert [KL[kind] for kind in KlEstimator] == [k1, k2, k3]
