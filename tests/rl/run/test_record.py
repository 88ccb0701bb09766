from pathlib import Path

import pytest
import yaml

from rl.run.record import config_hash, published_recipe, read_run
from tests.rl.run_folders import write_run


def test_a_folder_without_a_recipe_is_no_run(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"is no run: it has no recipe\.yaml"):
        read_run(tmp_path)


def test_a_finished_run_says_how_many_steps_it_did(tmp_path: Path) -> None:
    assert read_run(write_run(tmp_path / "run")).num_steps == 30
    unfinished = read_run(write_run(tmp_path / "unfinished", finished=False))
    assert (unfinished.summary, unfinished.num_steps, unfinished.num_ranks) == (None, 30, 0)


def test_the_hash_does_not_depend_on_where_the_run_lies_or_how_it_is_logged() -> None:
    def config(seed: int = 0, place: str = "/home/ada", project: str = "a") -> dict[str, object]:
        return {
            "model": {"path": f"{place}/model"},
            "log": {"project": project},
            "run": {"dir": f"{place}/run"},
            "resume": place,
            "seed": seed,
        }

    assert config_hash(config()) == config_hash(config(place="/mnt/grace", project="b"))
    assert config_hash(config()) != config_hash(config(seed=1))
    assert config_hash(dict(reversed(config().items()))) == config_hash(config())
    assert len(config_hash(config())) == 16


def test_the_published_recipe_keeps_its_first_lines_and_values(tmp_path: Path) -> None:
    text = published_recipe(read_run(write_run(tmp_path / "run")))
    assert text.startswith("# GRPO (arXiv:2402.03300) on four problems.\n# Run: torchrun ")
    assert yaml.safe_load(text)["defaults"][0] == "schema"
    assert yaml.safe_load(text)["num_steps"] == 30
