import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.losses import clipped_surrogate, importance_ratio
from rl.algorithms.shared_prefix import shared_surrogate, signed_sums

CLIP = (0.2, 0.28)
ADVANTAGES = st.lists(st.lists(st.floats(-3, 3), min_size=4, max_size=4), min_size=1, max_size=6)
LOG_RATIOS = st.lists(st.floats(-2, 2), min_size=4, max_size=4)


def test_sums_are_over_the_leaves_by_sign() -> None:
    positive, negative = signed_sums(torch.tensor([[1.0, 2.0], [-3.0, 1.0], [0.5, 0.0]]))
    assert positive.tolist() == [1.5, 3.0] and negative.tolist() == [-3.0, 0.0]


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (1.0, 1.5),  # on policy: -(1.5 - 3)
        (1.5, 2.58),  # the positive ones are clipped at 1.28: -(1.92 - 4.5)
        (0.5, 1.65),  # the negative ones are clipped at 0.8: -(0.75 - 2.4)
    ],
)
def test_worked_examples(ratio: float, expected: float) -> None:
    loss = shared_surrogate(torch.tensor(ratio), torch.tensor(1.5), torch.tensor(-3.0), *CLIP)
    assert loss.item() == pytest.approx(expected)


@settings(max_examples=30)
@given(LOG_RATIOS, ADVANTAGES)
def test_loss_and_gradient_are_the_sums_over_the_leaves(
    log_ratios: list[float], rows: list[list[float]]
) -> None:
    advantages = torch.tensor(rows, dtype=torch.float64)

    def slow(ratio: Tensor) -> Tensor:
        return clipped_surrogate(ratio.expand_as(advantages), advantages, *CLIP).sum(0)

    def fast(ratio: Tensor) -> Tensor:
        return shared_surrogate(ratio, *signed_sums(advantages), *CLIP)

    results = []
    for loss in (slow, fast):
        logprobs = torch.tensor(log_ratios, dtype=torch.float64, requires_grad=True)
        value = loss(importance_ratio(logprobs, torch.zeros_like(logprobs)))
        results.append((value.detach(), *torch.autograd.grad(value.sum(), logprobs)))
    for one, other in zip(*results, strict=True):
        torch.testing.assert_close(one, other)
