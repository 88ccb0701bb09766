import torch

from rl.learner.diagnostics import of_rows
from tests.rl.algorithms.microbatch import flat_rows


def test_a_loss_that_clips_on_one_side_only_has_extremes_of_that_side_only() -> None:
    # The second token of each answer is injected.
    high = torch.tensor([1.0, 1, 0, 0, 0, 0, 1, 1])
    names = {"clip_ratio/low_mean": "low", "clip_ratio/high_mean": "high"}
    found = of_rows(flat_rows([0, 1]), {"clip_ratio/high_mean": high}, names)
    assert found.keys() == {"high"}
    assert found["high"].tolist() == [0.25, 0.5]
