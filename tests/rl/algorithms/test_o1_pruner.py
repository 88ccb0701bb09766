import math

import pytest
import torch

from rl.algorithms.o1_pruner import (
    O1PrunerCodeConfig,
    O1PrunerConfig,
    mean_token_ratio,
    o1_pruner,
    sequence_ratio,
)
from rl.config import Aggregation
from tests.rl.algorithms.microbatch import (
    OLD,
    ROWS,
    SAMPLER,
    flat_rows,
    gradient_of,
    loss_of,
    moved,
)
from tests.rl.algorithms.scored import scored

CONFIGS = [O1PrunerConfig(), O1PrunerCodeConfig()]


def test_the_reward_is_the_advantage_whatever_the_group() -> None:
    rewards = [[2.5, -3.0], [1.0, 1.0]]
    assert o1_pruner(O1PrunerConfig())(*scored(rewards)) == rewards


def test_defaults_are_the_papers_mean_over_answers_and_its_clip() -> None:
    for config in CONFIGS:
        assert config.group_size == 2
        assert (config.clip_low, config.clip_high) == (0.2, 0.2)
        assert config.aggregation is Aggregation.sequence_mean_token_mean
        assert config.problems() == []


def slow_loss(config: O1PrunerConfig, logprobs: list[torch.Tensor]) -> torch.Tensor:
    """Eq. 11, one answer at a time; the released code has the mean over tokens in the exponent."""
    total = torch.zeros(())
    for row, new, sampler in zip(ROWS, logprobs, SAMPLER, strict=True):
        log_ratios = (new - sampler)[torch.from_numpy(row.mask)]
        is_code = isinstance(config, O1PrunerCodeConfig)
        ratio = (log_ratios.mean() if is_code else log_ratios.sum()).exp()
        reward = float(row.advantages[0])
        clipped = ratio.clamp(0.8, 1.2)
        total = total - torch.minimum(ratio * reward, clipped * reward) / len(ROWS)
    return total


@pytest.mark.parametrize("config", CONFIGS)
@pytest.mark.parametrize("scale", [0.0, 0.05, 1.0, -1.0])
def test_the_loss_is_the_clipped_surrogate_of_whole_answers(
    config: O1PrunerConfig, scale: float
) -> None:
    leaves = [each.requires_grad_() for each in moved(scale)]
    expected = slow_loss(config, leaves)
    assert loss_of(config, torch.cat(leaves)).item() == pytest.approx(expected.item(), rel=1e-5)
    gradients = torch.autograd.grad(expected, leaves)
    torch.testing.assert_close(gradient_of(config, moved(scale)), torch.cat(gradients))


def test_whole_answers_are_weighed_against_the_sampler_by_sum_or_by_mean() -> None:
    flat = flat_rows([0])
    logprobs = SAMPLER[0] + torch.tensor([0.1, 9.0, 0.2, -0.1, 0.4])  # the second is not trained
    by_sum = sequence_ratio(flat, logprobs, OLD[0])
    by_mean = mean_token_ratio(flat, logprobs, OLD[0])
    assert by_sum.tolist() == pytest.approx([math.exp(0.6)] * 5, rel=1e-5)
    assert by_mean.tolist() == pytest.approx([math.exp(0.15)] * 5, rel=1e-5)
