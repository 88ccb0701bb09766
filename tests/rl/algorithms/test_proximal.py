import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.proximal import loglinear_logprobs

LOGPROBS = st.floats(-20, 0)


def test_the_proximal_policy_lies_one_version_before_the_policy() -> None:
    """Ages 0, 1, 2, 4: alpha is 0, 0, 1/2, 3/4, of the way from -1 to -1.5."""
    sampler, policy = torch.full((4,), -1.0), torch.full((4,), -1.5)
    found = loglinear_logprobs(sampler, policy, torch.tensor([0, 1, 2, 4]))
    assert found.tolist() == [-1.0, -1.0, -1.25, -1.375]


def test_it_carries_no_gradient() -> None:
    policy = torch.tensor([-1.0], requires_grad=True)
    assert not loglinear_logprobs(torch.tensor([-2.0]), policy, torch.tensor([3])).requires_grad


@given(LOGPROBS, LOGPROBS, st.integers(0, 20))
def test_it_lies_between_sampler_and_policy_and_nears_the_policy_with_age(
    sampler: float, policy: float, age: int
) -> None:
    ends = torch.tensor([sampler]), torch.tensor([policy])
    now, later = (loglinear_logprobs(*ends, torch.tensor([a])).item() for a in (age, age + 1))
    low, high = sorted((sampler, policy))
    assert low - 1e-5 <= now <= high + 1e-5
    assert abs(later - policy) <= abs(now - policy) + 1e-5


@given(st.lists(LOGPROBS, min_size=1, max_size=5), st.integers(0, 20))
def test_where_sampler_and_policy_agree_it_is_both(values: list[float], age: int) -> None:
    logprobs = torch.tensor(values)
    found = loglinear_logprobs(logprobs, logprobs, torch.full((len(values),), age))
    assert found.tolist() == pytest.approx(logprobs.tolist(), abs=0)
