"""A checkpoint becomes the same files as the export of the learner that saved it."""

from pathlib import Path
from typing import Any

import pytest
from safetensors.torch import load_file

from rl.learner.consolidate import export_checkpoint
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.rl.learner.replay_driver import read_steps, run_config

CASES: dict[str, dict[str, Any]] = {
    "stage 0": {"learner": {"zero_stage": 0}},
    "stage 2": {"learner": {"zero_stage": 2}},
    "stage 3": {"learner": {"zero_stage": 3}},
    "stage 3, bfloat16": {"learner": {"zero_stage": 3}, "dtype": "bfloat16"},
    "adapters": {"learner": {"zero_stage": 2, "lora": {"rank": 4}, "learning_rate": 1e-2}},
}


@pytest.mark.engine
@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("case", CASES)
def test_a_checkpoint_exports_what_its_learner_exports(
    case: str,
    tied: bool,
    tiny_model: Path,
    tiny_tied_model: Path,
    recording: Path,
    ranks: Ranks,
    tmp_path: Path,
) -> None:
    start = tiny_tied_model if tied else tiny_model
    config = run_config(CASES[case])
    group = LearnerGroup(DeepSpeedLearner(config, str(start), ranks), config, ranks)
    group.update(read_steps(recording)[0])
    group.save(tmp_path / "saved")
    group.export(tmp_path / "theirs")
    saved, ours = tmp_path / "saved", tmp_path / "ours"
    export_checkpoint(saved, ours, config.model, config.learner.lora, str(start))
    theirs = {path.name: path.read_bytes() for path in (tmp_path / "theirs").iterdir()}
    assert {path.name: path.read_bytes() for path in ours.iterdir()} == theirs
    trained, untrained = (load_file(folder / "model.safetensors") for folder in (ours, Path(start)))
    assert any((trained[name] != untrained[name]).any() for name in untrained)


def test_a_checkpoint_of_another_format_says_what_to_do(tiny_model: Path, tmp_path: Path) -> None:
    config = run_config({})
    with pytest.raises(ValueError, match=r"holds no weights .*finish the run with resume=PATH"):
        export_checkpoint(
            tmp_path, tmp_path / "ours", config.model, config.learner.lora, str(tiny_model)
        )


def test_a_torn_checkpoint_is_named(tiny_model: Path, tmp_path: Path) -> None:
    (tmp_path / "deepspeed").mkdir()
    (tmp_path / "deepspeed" / "mp_rank_00_model_states.pt").write_bytes(b"PK\x03\x04 torn")
    config = run_config({})
    with pytest.raises(ValueError, match=r"the checkpoint in .* cannot be read"):
        export_checkpoint(
            tmp_path, tmp_path / "ours", config.model, config.learner.lora, str(tiny_model)
        )
