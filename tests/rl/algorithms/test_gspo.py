import math
from dataclasses import replace

import pytest
import torch
from torch import Tensor

from rl.algorithms.gspo import GspoConfig, mean_ratio
from rl.config import Aggregation
from tests.rl.algorithms.microbatch import NEW, OLD, assert_is, flat_rows


def test_defaults_are_the_papers_narrow_band_and_a_mean_over_answers() -> None:
    config = GspoConfig()
    assert (config.clip_low, config.clip_high) == (3e-4, 4e-4)
    assert config.aggregation is Aggregation.sequence_mean_token_mean
    assert config.problems() == []


def test_the_ratio_is_the_geometric_mean_over_the_trained_tokens_of_an_answer() -> None:
    # The second token is injected: mean of 0.1, 0.2, -0.1, 0.4.
    first = OLD[0] + torch.tensor([0.1, 9.0, 0.2, -0.1, 0.4])
    ratio = mean_ratio(flat_rows([0, 1]), torch.cat([first, OLD[1]]), torch.cat(OLD[:2]))
    assert ratio[:5].tolist() == pytest.approx([math.exp(0.15)] * 5, rel=1e-5)
    assert ratio[5:].tolist() == [1, 1, 1]


def test_small_drifts_of_unlikely_tokens_are_not_rounded_away() -> None:
    old = torch.full((5,), -9.0)
    ratio = mean_ratio(flat_rows([0]), old + 3.5e-4, old)
    assert ratio.tolist() == pytest.approx([math.exp(3.5e-4)] * 5, abs=2e-6)


@pytest.mark.parametrize("scale", [0.0, 0.2, 1.0, -1.0])
def test_the_gradient_is_that_of_the_sequence_form(scale: float) -> None:
    # At 1 and -1 some answers are clipped, others not.
    config = GspoConfig(clip_low=0.02, clip_high=0.03)

    def paper(new: Tensor, old: Tensor, advantage: float) -> Tensor:
        """-min(s A, clip(s) A) / G."""
        ratio = (new - old).mean().exp()
        return -torch.minimum(ratio * advantage, ratio.clamp(0.98, 1.03) * advantage) / 4

    assert_is(config, paper, scale)


def test_a_token_is_moved_by_its_own_advantage_alone() -> None:
    flat = replace(flat_rows([2]), advantages=torch.tensor([0.0, 0.0, 3.0, 0.0, 0.0, 0.0, 0.0]))
    logprobs = NEW[2].clone().requires_grad_()
    ratio = mean_ratio(flat, logprobs, OLD[2])
    (gradient,) = torch.autograd.grad((ratio * flat.advantages).sum(), logprobs)
    assert gradient.tolist() == pytest.approx([0, 0, 3 * ratio[2].item(), 0, 0, 0, 0])
