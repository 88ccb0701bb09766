import json
from pathlib import Path

import pytest
import yaml

from rl.run.card import front_matter, license_of, model_card, write_model_card
from rl.run.record import read_run
from tests.rl.run_folders import write_run


@pytest.fixture
def finished(tmp_path: Path) -> Path:
    return write_run(tmp_path / "run")


def card_of(folder: Path) -> str:
    run = read_run(folder)
    return model_card(run, run.num_steps)


def table_row(card: str, label: str) -> list[str]:
    (row,) = [line for line in card.splitlines() if line.startswith(f"| {label} |")]
    return [cell.strip() for cell in row.strip("|").split("|")][1:]


def test_the_head_names_base_model_datasets_and_tags(finished: Path) -> None:
    _, head, _ = card_of(finished).split("---\n", 2)
    assert yaml.safe_load(head) == {
        "library_name": "transformers",
        "pipeline_tag": "text-generation",
        "base_model": "someone/model",
        "datasets": ["someone/problems"],
        "tags": ["laconic", "reinforcement-learning", "efficient-reasoning"],
    }


def test_the_table_has_both_evaluations_with_intervals(finished: Path) -> None:
    card = card_of(finished)
    # a: 2 of 2, b: 1 of 2 before; everything after. Two problems: resamples are {a, b, mixed}.
    sampled = [
        "0.750 [0.500, 1.000]",
        "1.000 [1.000, 1.000]",
        "12.5 [11.0, 14.0]",
        "3.8 [2.5, 5.0]",
    ]
    assert table_row(card, "sampled, T=1") == sampled
    assert table_row(card, "greedy")[:2] == ["0.500 [0.000, 1.000]", "1.000 [1.000, 1.000]"]
    assert table_row(card, "sampled, level 2")[2] == "11.0 [11.0, 11.0]"
    assert card.index("level 2") < card.index("level 10")
    assert "accuracy +0.250" in card and "tokens x0.30" in card and "weights 1/3/5" in card


def test_the_budget_curve_counts_longer_answers_as_wrong(finished: Path) -> None:
    card = card_of(finished)
    assert table_row(card, "16") == ["0.750 [0.500, 1.000]", "1.000 [1.000, 1.000]"]
    assert table_row(card, "8") == ["0.250 [0.000, 0.500]", "1.000 [1.000, 1.000]"]
    assert table_row(card, "2") == ["0.000 [0.000, 0.000]", "0.250 [0.000, 0.500]"]


def test_the_card_says_how_to_repeat_the_run(finished: Path) -> None:
    index = finished / "checkpoints" / "step_30" / "learner" / "learner.json"
    index.parent.mkdir(parents=True)
    index.write_text(json.dumps({"layout": {"ranks": 4}, "updates": 30}))
    card = card_of(finished)
    assert "torchrun --nproc-per-node 4 recipe.yaml\n" in card
    assert "GRPO (arXiv:2402.03300) on four problems." in card
    assert table_row(card, "code") == ["commit c0ffee"]
    assert table_row(card, "updates") == ["30 of 30"]


def test_a_run_that_was_given_more_steps_says_so(finished: Path) -> None:
    path = finished / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | {"steps": 40}))
    card = card_of(finished)
    assert "torchrun recipe.yaml num_steps=40\n" in card
    assert table_row(card, "updates") == ["40 of 40"]


def test_nothing_in_the_export_says_where_files_lie(finished: Path, tmp_path: Path) -> None:
    local = write_run(tmp_path / "local", model=str(tmp_path / "my_model"))
    export = tmp_path / "export"
    export.mkdir()
    write_model_card(export, local)
    for path in export.iterdir():
        assert str(tmp_path) not in path.read_text()
        assert "/home/ada" not in path.read_text()
    assert "# my_model, trained" in (export / "README.md").read_text()
    assert "base_model" not in (export / "README.md").read_text()
    recipe = yaml.safe_load((export / "recipe.yaml").read_text())
    assert recipe["data"]["eval_path"] == "held_out.jsonl"
    assert recipe["run"]["dir"] == ""


def test_an_unfinished_run_shows_what_was_measured(tmp_path: Path) -> None:
    card = model_card(read_run(write_run(tmp_path / "run", finished=False)), 10)
    assert table_row(card, "updates") == ["10 of 30"]
    assert table_row(card, "sampled, T=1") == ["0.750 [0.500, 1.000]", "12.5 [11.0, 14.0]"]


def test_a_run_without_evaluations_says_so(tmp_path: Path) -> None:
    folder = write_run(tmp_path / "run", finished=False)
    (folder / "eval" / "step_00000.parquet").unlink()
    assert "It was not evaluated on held-out problems." in model_card(read_run(folder), 10)


def test_the_card_of_the_same_run_is_the_same(finished: Path) -> None:
    assert card_of(finished) == card_of(finished)


def test_the_licence_is_the_initial_models_own(tmp_path: Path) -> None:
    model = tmp_path / "model"
    model.mkdir()
    assert license_of(str(model)) == ""
    (model / "README.md").write_text("---\nlicense: apache-2.0\n---\n# Model\n")
    assert license_of(str(model)) == "apache-2.0"
    run = read_run(write_run(tmp_path / "run", model=str(model)))
    assert "license: apache-2.0" in front_matter(run)
    (model / "README.md").write_text("no head")
    assert license_of(str(model)) == ""
