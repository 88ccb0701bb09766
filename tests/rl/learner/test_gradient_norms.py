"""Norms of the output matrix's gradient, against autograd and through the ranks' plan."""

import pytest
import torch

from rl.learner.gradient_norms import output_gradient_norms
from rl.learner.logprobs import LogprobHead

ROWS = torch.tensor([0, 0, 0, 1, 2, 2])
TARGETS = torch.tensor([3, 1, 4, 1, 0, 2])


def inputs() -> tuple[torch.Tensor, torch.Tensor]:
    """Hidden states [6, 4] and an output matrix [5, 4]."""
    generator = torch.Generator().manual_seed(0)
    return torch.randn(6, 4, generator=generator), torch.randn(5, 4, generator=generator)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (0.7, 0.9)])
@pytest.mark.parametrize("chunk", [1, 2, 100])
def test_norms_are_those_of_autograd(temperature: float, top_p: float, chunk: int) -> None:
    hidden, weight = inputs()
    found = output_gradient_norms(hidden, weight, TARGETS, ROWS, temperature, top_p, chunk)
    for row in range(3):
        matrix = torch.nn.Parameter(weight.clone())
        head = LogprobHead(matrix, temperature, top_p, chunk=100)
        head(hidden[row == ROWS], TARGETS[row == ROWS]).logprobs.sum().backward()
        assert matrix.grad is not None
        assert found[row].item() == pytest.approx(matrix.grad.norm().item(), rel=1e-5)


def test_a_token_that_is_certain_moves_nothing() -> None:
    hidden, weight = torch.tensor([[1.0]]), torch.tensor([[100.0], [0.0]])
    target, row = torch.tensor([0]), torch.tensor([0])
    assert output_gradient_norms(hidden, weight, target, row, 1.0, 1.0, 8).tolist() == [0.0]


def test_a_coin_moves_both_of_its_sides_by_half_the_hidden_state() -> None:
    """softmax = (1/2, 1/2): the gradient is (h/2, -h/2), h = (3, 4), so the norm is 5 / sqrt 2."""
    hidden, weight = torch.tensor([[3.0, 4.0]]), torch.zeros(2, 2)
    (norm,) = output_gradient_norms(
        hidden, weight, torch.tensor([0]), torch.tensor([0]), 1.0, 1.0, 8
    ).tolist()
    assert norm == pytest.approx(5 / 2**0.5)
