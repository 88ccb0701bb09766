from pathlib import Path

import pytest

from rl.learner.checkpoint import Index, Layout, read_index, write_index

LAYOUT: Layout = {"learner.zero_stage": 3, "model.dtype": "float32"}
INDEX = Index(updates=12, num_ranks=2)


def test_steps_and_ranks_come_back_under_the_same_layout(tmp_path: Path) -> None:
    write_index(tmp_path, LAYOUT, INDEX)
    assert read_index(tmp_path, LAYOUT) == INDEX


def test_a_folder_without_a_checkpoint_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"resume: .* holds no learner checkpoint"):
        read_index(tmp_path, LAYOUT)


def test_everything_that_differs_is_named(tmp_path: Path) -> None:
    write_index(tmp_path, LAYOUT, INDEX)
    changed: Layout = {"learner.zero_stage": 2, "model.dtype": "bfloat16"}
    message = (
        "was saved with learner.zero_stage=3, model.dtype=float32; this run has "
        "learner.zero_stage=2, model.dtype=bfloat16"
    )
    with pytest.raises(ValueError, match=message):
        read_index(tmp_path, changed)
