import json
from pathlib import Path

import pytest

from scripts.named_runs import named_runs


def save(folder: Path, *, finished: bool = True) -> None:
    folder.mkdir()
    (folder / "metrics.jsonl").write_text('{"step": 0}\n{"step": 1}\n')
    if finished:
        (folder / "summary.json").write_text(json.dumps({"steps": 1}))


def test_finished_runs_are_known_by_their_folders_and_others_are_left_out(tmp_path: Path) -> None:
    save(tmp_path / "tppo_short-seed2")
    save(tmp_path / "ppo-seed10")
    save(tmp_path / "ppo-seed3", finished=False)
    found = [(run.variant, run.seed, run.metrics[-1]["step"]) for run in named_runs(tmp_path)]
    assert found == [("ppo", 10, 1), ("tppo_short", 2, 1)]


def test_a_run_without_a_seed_in_its_name_is_named(tmp_path: Path) -> None:
    save(tmp_path / "ppo")
    with pytest.raises(ValueError, match=r"ppo: name the run's folder VARIANT-seedN"):
        list(named_runs(tmp_path))
