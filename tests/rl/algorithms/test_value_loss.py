import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.value_loss import clipped_value_loss, value_metrics

CLIP = (0.5, 0.6)


def test_a_value_that_ran_beyond_the_clip_is_no_longer_pushed() -> None:
    # V_old = 0, so V is clipped to [-0.5, 0.6]. Towards a return of 2 from 1.0: 0.5 (0.6 - 2)^2 is
    # the larger loss, and flat. From 0.3: 0.5 (0.3 - 2)^2.
    values = torch.tensor([1.0, 0.3, -1.0, -1.0], requires_grad=True)
    returns = torch.tensor([2.0, 2.0, -2.0, 1.0])
    loss = clipped_value_loss(values, torch.zeros(4), returns, *CLIP)
    assert loss.tolist() == pytest.approx([0.98, 1.445, 1.125, 2.0])
    loss.sum().backward()
    assert values.grad is not None
    assert values.grad.tolist() == pytest.approx([0.0, -1.7, 0.0, -2.0])
    found = value_metrics(values.detach(), torch.zeros(4), returns, *CLIP)
    assert found["critic/vf_clipfrac"].tolist() == [1.0, 0.0, 1.0, 0.0]


@given(st.floats(-0.49, 0.59), st.floats(-3, 3))
def test_within_the_clip_it_is_half_the_squared_error(moved: float, target: float) -> None:
    values = torch.tensor([1 + moved], dtype=torch.float64, requires_grad=True)
    old, returns = torch.ones(1, dtype=torch.float64), torch.tensor([target], dtype=torch.float64)
    loss = clipped_value_loss(values, old, returns, *CLIP)
    loss.sum().backward()
    assert loss.item() == pytest.approx(0.5 * (1 + moved - target) ** 2)
    assert values.grad is not None
    assert values.grad.item() == pytest.approx(1 + moved - target)
    assert not value_metrics(values, old, returns, *CLIP)["critic/vf_clipfrac"].any()
