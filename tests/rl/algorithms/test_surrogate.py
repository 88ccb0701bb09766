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


def test_a_dual_clip_is_taken_where_it_is_set() -> None:
    flat, fivefold = flat_rows([0]), OLD[0] + torch.tensor(5.0).log()
    advantage = float(ROWS[0].advantages[0])
    assert advantage < 0
    plain = clipped(GrpoConfig())(flat, fivefold, OLD[0])
    dual = clipped(GrpoConfig(dual_clip=3.0))(flat, fivefold, OLD[0])
    assert plain.losses.tolist() == pytest.approx([-5 * advantage] * 5)
    assert dual.losses.tolist() == pytest.approx([-3 * advantage] * 5)
    assert "clip_ratio/dual_mean" not in plain.metrics
    assert dual.metrics["clip_ratio/dual_mean"].tolist() == [1] * 5
    assert dual.metrics.keys() > plain.metrics.keys()


@pytest.mark.parametrize("dual_clip", [1.0, 0.5, -3.0])
def test_a_dual_clip_inside_the_band_is_refused(dual_clip: float) -> None:
    (problem,) = GrpoConfig(dual_clip=dual_clip).problems()
    assert problem == f"algorithm.dual_clip={dual_clip}: set 0 (none) or more than 1, such as 3"
    assert GrpoConfig(dual_clip=3.0).problems() == []
