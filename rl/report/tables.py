"""The raw tables of a report as CSV: every figure that a picture or a table of the page shows."""

import csv
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from io import StringIO
from typing import Any

from rl.evaluate.figures import Estimate
from rl.report.anchors import Anchor
from rl.report.failures import Failure
from rl.report.groups import ShownGroup
from rl.report.run import ReportedRun, Row

FORMULA = ("=", "+", "-", "@", "\t", "\r")
"""A text that begins so is a formula to a spreadsheet."""

Record = Mapping[str, Any]


def csv_text(records: Sequence[Record]) -> str:
    """Rows under the names of all their columns; an undefined value is an empty cell.

    A text that a spreadsheet would run as a formula gets an apostrophe in front.
    """
    names = list(dict.fromkeys(name for record in records for name in record))
    file = StringIO()
    writer = csv.writer(file, lineterminator="\n")
    writer.writerow(names)
    writer.writerows([_cell(record.get(name)) for name in names] for record in records)
    return file.getvalue()


def figure_records(run: ReportedRun) -> list[Record]:
    """Every figure of every evaluation shown, by mode, level and cap."""
    records: list[Record] = []
    for heading, stage in run.stages:
        about = {"run": run.name, "when": heading, "step": stage.step}
        modes = {"sampled": stage.figures, **({"greedy": stage.greedy} if stage.greedy else {})}
        for mode, figures in modes.items():
            records += _figures({**about, "mode": mode, "level": "", "cap": ""}, figures)
        for level, figures in stage.levels.items():
            records += _figures({**about, "mode": "sampled", "level": level, "cap": ""}, figures)
        for cap, each in stage.curve.items():
            cut = {**about, "mode": "sampled", "level": "", "cap": cap}
            records += _figures(cut, {"accuracy": each})
    if run.change:
        about = {"run": run.name, "when": "change", "step": "", "mode": "sampled"}
        scores = {"token_ratio": run.change.token_ratio, "aes": run.change.aes}
        known = {name: each for name, each in scores.items() if each}
        records += _figures({**about, "level": "", "cap": ""}, {**run.change.change, **known})
    return records


def metric_records(rows: Sequence[Row], most_cells: int) -> list[Record]:
    """The lines of metrics.jsonl; every second or third one where all would be too many cells."""
    cells = sum(len(row) for row in rows)
    every = max(1, -(-cells // most_cells))
    return list(rows[::every])


def group_records(name: str, groups: Iterable[ShownGroup]) -> list[Record]:
    """A row per completion that the browser shows."""
    return [
        {
            "run": name,
            "kind": group.kind,
            "prompt": group.prompt,
            "answer": group.answer,
            "budget": group.budget,
            **{key: value for key, value in asdict(shown).items() if key != "parts"},
            **{f"parts/{part}": value for part, value in shown.parts.items()},
        }
        for group in groups
        for shown in group.completions
    ]


def failure_records(name: str, failures: Iterable[Failure]) -> list[Record]:
    return [{"run": name, **asdict(failure)} for failure in failures]


def anchor_records(anchors: Iterable[Anchor]) -> list[Record]:
    return [asdict(anchor) for anchor in anchors]


def _figures(about: Record, figures: Mapping[str, Estimate]) -> list[Record]:
    return [{**about, "figure": name, **asdict(each)} for name, each in figures.items()]


def _cell(value: Any) -> Any:
    if isinstance(value, str) and value.startswith(FORMULA):
        return f"'{value}"
    return "" if value is None or value != value else value
