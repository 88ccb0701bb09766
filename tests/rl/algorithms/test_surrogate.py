import pytest
import torch

from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.surrogate import clipped, token_ratio
from tests.rl.algorithms.microbatch import NEW, OLD, ROWS, flat_rows


def test_the_ratio_of_a_token_is_against_the_start_of_the_update() -> None:
    ratio = token_ratio(flat_rows(), torch.cat(NEW), torch.cat(OLD))
    torch.testing.assert_close(ratio, (torch.cat(NEW) - torch.cat(OLD)).exp())


def test_the_loss_clips_within_the_bounds_of_its_config() -> None:
    flat, twice = flat_rows([1]), OLD[1] + torch.tensor(2.0).log()
    advantage = float(ROWS[1].advantages[0])
    assert advantage > 0
    found = clipped(GrpoConfig(clip_high=0.5))(flat, twice, OLD[1])
    assert found.losses.tolist() == pytest.approx([-1.5 * advantage] * 3)
    assert found.ratio.tolist() == pytest.approx([2.0] * 3)
    assert found.metrics["clip_ratio/high_mean"].tolist() == [1, 1, 1]
    assert found.metrics["clip_ratio/low_mean"].tolist() == [0, 0, 0]
    found = clipped(GrpoConfig(clip_high=1.5))(flat, twice, OLD[1])
    assert found.losses.tolist() == pytest.approx([-2 * advantage] * 3)


def test_a_method_may_choose_the_ratio() -> None:
    found = clipped(GrpoConfig(), lambda flat, new, old: torch.full_like(new, 1.1))(
        flat_rows([1]), NEW[1], OLD[1]
    )
    torch.testing.assert_close(found.losses, -1.1 * torch.from_numpy(ROWS[1].advantages))
