import csv
from io import StringIO
from math import nan
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from rl.report.groups import training_groups
from rl.report.tables import csv_text, figure_records, group_records, metric_records
from tests.rl.report.reported import reported


def read(text: str) -> list[dict[str, str]]:
    return list(csv.DictReader(StringIO(text)))


def test_rows_with_different_columns_share_one_header_and_gaps_are_empty() -> None:
    assert csv_text([{"a": 1, "b": nan}, {"c": None, "a": 2}]) == "a,b,c\n1,,\n2,,\n"


def test_a_text_that_a_spreadsheet_would_run_is_quoted_and_a_number_is_not() -> None:
    (row,) = read(csv_text([{"text": "=HYPERLINK(1)", "number": -1.5}]))
    assert row == {"text": "'=HYPERLINK(1)", "number": "-1.5"}


@given(st.text(alphabet=st.characters(exclude_categories=["Cs", "Cc"]), max_size=30))
def test_a_text_comes_back_as_it_was(text: str) -> None:
    (row,) = read(csv_text([{"before": "x", "text": text}]))
    assert row["text"].removeprefix("'") == text.removeprefix("'")


def test_figures_of_both_evaluations_and_their_change_are_rows(tmp_path: Path) -> None:
    rows = read(csv_text(figure_records(reported(tmp_path))))
    found = {(r["when"], r["mode"], r["level"], r["cap"], r["figure"]): r["value"] for r in rows}
    assert found["before", "sampled", "", "", "accuracy"] == "0.75"
    assert found["after", "greedy", "", "", "response_tokens"] == "3.0"
    assert found["after", "sampled", "10", "", "response_tokens"] == "5.0"
    assert found["after", "sampled", "", "4", "accuracy"] == "0.75"
    assert found["change", "sampled", "", "", "token_ratio"] == "0.3"


def test_many_lines_of_metrics_are_thinned_evenly() -> None:
    rows = [{"step": float(step), "loss": 1.0} for step in range(9)]
    assert metric_records(rows, 18) == rows
    assert [row["step"] for row in metric_records(rows, 6)] == [0.0, 3.0, 6.0]


def test_completions_are_rows_with_their_reward_parts(tmp_path: Path) -> None:
    run = reported(tmp_path)
    rows = read(csv_text(group_records("run", training_groups(run.record.folder))))
    assert len(rows) == 8
    assert rows[0]["parts/length"] == "-0.25" and rows[0]["advantage"] == "1.0"
