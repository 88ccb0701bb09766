import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rl.algorithms.gmpo import GmpoConfig, clipped_log_ratio, gmpo
from rl.config import Aggregation
from tests.rl.algorithms.microbatch import OLD, ROWS, assert_is, flat_rows


def test_defaults_are_the_papers_band_and_a_mean_over_answers() -> None:
    config = GmpoConfig()
    assert (config.log_clip_low, config.log_clip_high) == (0.4, 0.4)
    assert config.aggregation is Aggregation.sequence_mean_token_mean
    assert config.problems() == []


@pytest.mark.parametrize(
    ("advantage", "expected"),
    [
        (2.0, [-1.0, -0.1, 0.0, 0.1, 0.4]),  # held from above
        (-2.0, [-0.3, -0.1, 0.0, 0.1, 1.0]),  # held from below
    ],
)
def test_a_log_ratio_is_held_on_the_side_that_its_advantage_pushes_to(
    advantage: float, expected: list[float]
) -> None:
    log_ratio = torch.tensor([-1.0, -0.1, 0.0, 0.1, 1.0])
    held = clipped_log_ratio(log_ratio, torch.tensor(advantage), 0.3, 0.4)
    assert held.tolist() == pytest.approx(expected)


@pytest.mark.parametrize("scale", [0.0, 0.3, 1.0, -1.0])
def test_the_loss_is_the_papers_geometric_mean(scale: float) -> None:
    def paper(new: Tensor, old: Tensor, advantage: float) -> Tensor:
        """(prod_t min(r^sgn A, clip(r)^sgn A))^(sgn A / n) A, averaged over four answers."""
        sign = math.copysign(1, advantage)
        ratio = (new - old).exp()
        clipped = ratio.clamp(math.exp(-0.1), math.exp(0.2))
        product = torch.minimum(ratio**sign, clipped**sign).prod()
        return -(product ** (sign / len(new))) * advantage / 4

    assert_is(GmpoConfig(log_clip_low=0.1, log_clip_high=0.2), paper, scale)


def test_a_clipped_token_has_no_gradient_and_the_others_share_the_answers() -> None:
    flat, advantage = flat_rows([1]), float(ROWS[1].advantages[0])
    logprobs = (OLD[1] + torch.tensor([0.5, 7.0, 0.2])).requires_grad_()
    found = gmpo(GmpoConfig())(flat, logprobs, OLD[1])
    # The second is injected; the mean of 0.4 and 0.2 is 0.3.
    assert advantage > 0
    assert found.losses.tolist() == pytest.approx([-math.exp(0.3) * advantage] * 3)
    (gradient,) = torch.autograd.grad(found.losses[0], logprobs)
    assert gradient.tolist() == pytest.approx([0, 0, -math.exp(0.3) * advantage / 2])
    assert found.ratio.tolist() == pytest.approx([math.exp(0.5), math.exp(7), math.exp(0.2)])


def test_clipped_tokens_are_reported_by_side() -> None:
    # Exact in binary; the bounds themselves are not clipped, nor is a token without advantage.
    log_ratio = torch.tensor([0.75, 0.5, -0.75, -0.75, -0.25, 0.75, 0.75])
    advantages = torch.tensor([0.5, 0.5, 0.5, -0.5, -0.5, -0.5, 0.0])
    config = GmpoConfig(log_clip_low=0.25, log_clip_high=0.5)
    flat = replace(flat_rows([2]), advantages=advantages)
    reported = gmpo(config)(flat, log_ratio, torch.zeros(7)).metrics
    assert reported["clip_ratio/high_mean"].tolist() == [1, 0, 0, 0, 0, 0, 0]
    assert reported["clip_ratio/low_mean"].tolist() == [0, 0, 0, 1, 0, 0, 0]
    low = gmpo(config)(flat, -log_ratio, torch.zeros(7)).metrics["clip_ratio/low_mean"]
    assert low.tolist() == [0, 0, 0, 0, 0, 1, 0]


@pytest.mark.parametrize("bounds", [{"log_clip_low": 0.0}, {"log_clip_high": -0.1}])
def test_an_empty_band_is_refused(bounds: dict[str, float]) -> None:
    (problem,) = GmpoConfig(**bounds).problems()
    assert "set both above 0, such as 0.4" in problem
    assert all(f"algorithm.{name}={value}" in problem for name, value in bounds.items())
