import json
from pathlib import Path
from typing import Any

import pandas as pd
import pytest

from scripts.signatures import (
    compared,
    correlation,
    dot_group_size,
    effort_tokens,
    finished_runs,
    lcpo_exact_error,
    lcpo_max_budgets,
    merged,
    signatures,
    siri_lengths,
)


def run(folder: Path, recipe: str, seed: int = 0) -> Path:
    folder.mkdir(parents=True)
    (folder / "summary.json").write_text(json.dumps({"recipe": recipe, "seed": seed}))
    return folder


def evaluation(folder: Path, rows: list[dict[str, Any]]) -> Path:
    """An evaluation file of sampled completions with their budgets."""
    (folder / "eval").mkdir(parents=True)
    frame = pd.DataFrame([{"mode": "sampled", "budget_kind": "exact", **row} for row in rows])
    frame.to_parquet(folder / "eval" / "step_00030.parquet")
    return folder


def test_rank_correlation_by_hand() -> None:
    assert correlation([1, 2, 3], [10, 20, 90]) == pytest.approx(1)
    assert correlation([1, 2, 3], [5, 4, 1]) == pytest.approx(-1)
    assert correlation([1, 2, 3, 4], [1, 1, 2, 2]) == pytest.approx(2 / 5**0.5)
    assert correlation([1, 2], [7, 7]) == 0


def test_the_newest_finished_run_of_each_method_and_variant_counts(tmp_path: Path) -> None:
    run(tmp_path / "grpo_lambda-0-100", "grpo_lambda")
    newest = run(tmp_path / "grpo_lambda-0-200", "grpo_lambda")
    (newest / "summary.json").touch()
    other = run(tmp_path / "constant_cap-cap_32-1-150", "constant_cap", seed=1)
    (tmp_path / "kimi-0-300").mkdir()
    assert finished_runs(tmp_path) == {
        0: {("grpo_lambda", ""): newest},
        1: {("constant_cap", "cap_32"): other},
    }


def test_a_signature_without_its_runs_is_left_out() -> None:
    assert list(signatures({}, 0)) == []


@pytest.mark.parametrize(
    ("relation", "met"), [("at least", True), ("at most", True), ("above", False)]
)
def test_a_value_at_its_bound(relation: str, met: bool) -> None:
    found = compared("claim", 0.5, relation, 0.5)
    assert (found.met, found.wanted) == (met, f"{relation} 0.5")


def test_a_row_names_seed_and_commit(tmp_path: Path) -> None:
    folder = evaluation(tmp_path, [{"tokens": 90, "budget": 100}])
    (folder / "summary.json").write_text(json.dumps({"commit": "abc"}))
    (row,) = signatures({("lcpo_exact", ""): folder}, 2)
    assert (row["seed"], row["commit"], row["met"]) == (2, "abc", True)


def test_siri_length_is_held_against_the_limit_of_its_step(tmp_path: Path) -> None:
    steps = [(160, 90.0), (120, 70.0), (80, 50.0), (160, 85.0)]
    lines = [
        {"limit/mean": limit, "completions/mean_length": tokens, "step_time": 1.0}
        for limit, tokens in steps
    ]
    lines.append({"eval/accuracy": 0.5})
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    (found,) = siri_lengths(tmp_path)
    assert found.value == pytest.approx(0.9486833)
    assert found.met


def test_budget_error_is_relative_and_counts_both_sides(tmp_path: Path) -> None:
    rows = [{"tokens": 90, "budget": 100}, {"tokens": 60, "budget": 50}]
    folder = evaluation(tmp_path, [*rows, {"tokens": 1, "budget": None}])
    (found,) = lcpo_exact_error(folder)
    assert found.value == pytest.approx((0.1 + 0.2) / 2)
    assert not found.met


def test_only_prompts_that_ask_for_a_maximum_are_within_it(tmp_path: Path) -> None:
    rows = [
        {"tokens": 40, "budget": 40, "correct": False, "budget_kind": "max"},
        {"tokens": 41, "budget": 60, "correct": True, "budget_kind": "max"},
        {"tokens": 70, "budget": 60, "correct": True, "budget_kind": "exact"},
    ]
    share, rise = lcpo_max_budgets(evaluation(tmp_path, rows))
    assert (share.value, share.met) == (1.0, True)
    assert (rise.value, rise.met) == (pytest.approx(1.0), True)


def test_tokens_must_rise_at_every_effort(tmp_path: Path) -> None:
    rows = [
        {"tokens": tokens, "budget": effort, "budget_kind": "effort"}
        for effort, tokens in ((25, 20), (50, 30), (75, 28), (100, 40))
    ]
    (found,) = effort_tokens(evaluation(tmp_path, rows))
    assert found.value == 2.0
    assert not found.met


def test_dot_is_refused_with_groups_of_eight(tmp_path: Path) -> None:
    (found,) = dot_group_size(tmp_path)
    assert found.met


def test_signatures_that_are_not_measured_anew_are_kept() -> None:
    kept = [{"seed": 1, "claim": "a", "value": 0.1}, {"seed": 0, "claim": "a", "value": 0.2}]
    found = [{"seed": 1, "claim": "a", "value": 0.3}, {"seed": 2, "claim": "a", "value": 0.4}]
    assert [(row["seed"], row["value"]) for row in merged(kept, found)] == [
        (0, 0.2),
        (1, 0.3),
        (2, 0.4),
    ]
