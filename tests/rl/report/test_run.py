from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.report.run import accuracy_curve, caps_up_to, read_metrics, read_reported
from tests.rl.evaluate.samples import outcomes
from tests.rl.report.reported import reported, write_trained


def test_a_finished_run_has_both_evaluations_and_their_change(tmp_path: Path) -> None:
    run = reported(tmp_path)
    assert run.finished and run.before and run.after and run.change
    assert (run.before.step, run.after.step) == (0, 30)
    assert run.before.figures["accuracy"].value == 0.75
    # 8 + 14 + 12 + 16 tokens before, 2 + 3 + 4 + 6 after.
    assert run.change.token_ratio.value == pytest.approx(15 / 50)
    assert run.path == [(12.5, 0.75), (3.75, 1.0)]
    assert list(run.before.levels) == ["2", "10"]


def test_an_unfinished_run_gives_what_there_is(tmp_path: Path) -> None:
    run = reported(tmp_path, finished=False)
    assert not run.finished and run.before
    assert run.after is None and run.change is None
    assert run.last_step == 3


def test_the_line_that_a_running_training_writes_is_left_out(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    path.write_text('{"step": 1, "loss": null}\n{"step": 2, "lo')
    rows = read_metrics(path)
    assert [row["step"] for row in rows] == [1.0] and rows[0]["loss"] != rows[0]["loss"]
    assert read_metrics(tmp_path / "none.jsonl") == []


@pytest.mark.parametrize("line", ["{", "[1]", '{"step": "one"}'])
def test_metrics_that_no_run_wrote_are_refused_by_name(tmp_path: Path, line: str) -> None:
    (tmp_path / "metrics.jsonl").write_text(line + "\n")
    with pytest.raises(ValueError, match=r"metrics\.jsonl is not what a run writes"):
        read_metrics(tmp_path / "metrics.jsonl")


def test_a_damaged_evaluation_is_named_with_its_file(tmp_path: Path) -> None:
    folder = write_trained(tmp_path / "run")
    (folder / "eval" / "step_00030.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(ValueError, match=r"step 30 cannot be read .*step_00030\.parquet"):
        read_reported(folder, "run")


def test_caps_halve_twice_per_halving() -> None:
    assert caps_up_to(512) == [16, 23, 32, 45, 64, 91, 128, 181, 256, 362, 512]
    assert caps_up_to(1) == [1]


def test_accuracy_under_a_cap_counts_longer_answers_as_wrong() -> None:
    table = {"a": [(2, True), (6, True)], "b": [(3, False), (4, True)]}
    curve = accuracy_curve(outcomes(table), [1, 2, 4, 16])
    assert [each.value for each in curve.values()] == [0.0, 0.25, 0.5, 0.75]


@given(st.lists(st.tuples(st.integers(1, 15), st.booleans()), min_size=1, max_size=6))
def test_accuracy_rises_with_the_cap_up_to_the_accuracy_itself(row: list[tuple[int, bool]]) -> None:
    measured = outcomes({"a": list(row)})
    values = [each.value for each in accuracy_curve(measured, [1, 3, 9, 16]).values()]
    assert values == sorted(values)
    assert values[-1] == pytest.approx(sum(ok for _, ok in row) / len(row))
