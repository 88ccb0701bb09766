import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor

from rl.algorithms.cispo import CispoConfig, capped_reinforce, cispo
from rl.config import Aggregation
from tests.rl.algorithms.microbatch import OLD, assert_is, flat_rows

RATIOS = torch.tensor([0.5, 1.0, 2.0, 8.0])


def test_defaults_cap_at_five_and_average_over_tokens() -> None:
    assert CispoConfig().ratio_cap == 5
    assert CispoConfig().aggregation is Aggregation.token_mean
    assert CispoConfig(ratio_cap=1.0).problems() == []


def test_worked_example() -> None:
    # -min(r, 5) A log pi with A = 2 and log pi = -3
    loss = capped_reinforce(RATIOS, torch.tensor(-3.0), torch.tensor(2.0), 5.0)
    assert loss.tolist() == [3, 6, 12, 30]


def test_no_token_loses_its_gradient() -> None:
    logprobs = torch.full((4,), -1.0, requires_grad=True)
    loss = capped_reinforce(RATIOS, logprobs, torch.tensor(2.0), 5.0)
    (gradient,) = torch.autograd.grad(loss.sum(), logprobs)
    assert gradient.tolist() == [-1, -2, -4, -10]


@given(st.floats(0, 9), st.floats(-5, -0.1), st.floats(-3, 3), st.floats(1, 9))
def test_the_opposite_advantage_has_the_opposite_loss(
    ratio: float, logprob: float, advantage: float, cap: float
) -> None:
    r, logp, a = (torch.tensor(value) for value in (ratio, logprob, advantage))
    loss, opposite = capped_reinforce(r, logp, a, cap), capped_reinforce(r, logp, -a, cap)
    assert loss.item() == -opposite.item()
    assert abs(loss.item()) <= cap * abs(advantage * logprob) * (1 + 1e-5)


@pytest.mark.parametrize("scale", [0.0, 1.0, -1.0])
def test_the_loss_is_the_papers_mean_over_all_tokens(scale: float) -> None:
    def paper(new: Tensor, old: Tensor, advantage: float) -> Tensor:
        weight = (new - old).exp().clamp(max=1.2).detach()
        return -(weight * advantage * new).sum() / 15  # trained tokens of all answers

    assert_is(CispoConfig(ratio_cap=1.2), paper, scale)


def test_tokens_at_the_cap_are_reported_whatever_their_sign() -> None:
    # 2 and 0.5 are exact in binary; the bound itself is not capped.
    logprobs = OLD[1] + torch.tensor([3.0, 2.0, 0.5]).log()
    reported = cispo(CispoConfig(ratio_cap=2.5))(flat_rows([1]), logprobs, OLD[1])
    assert reported.metrics["clip_ratio/high_mean"].tolist() == [1, 0, 0]
    at_cap = cispo(CispoConfig(ratio_cap=1.0))(flat_rows([0]), OLD[0], OLD[0])
    assert at_cap.metrics["clip_ratio/high_mean"].tolist() == [0] * 5
    assert reported.ratio.tolist() == pytest.approx([3, 2, 0.5])


def test_a_cap_below_one_is_refused() -> None:
    (problem,) = CispoConfig(ratio_cap=0.2).problems()
    assert problem == "algorithm.ratio_cap=0.2: set it to 1 or more, such as 5"
