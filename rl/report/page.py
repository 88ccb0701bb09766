"""The page: what was gathered of the runs becomes one HTML file that needs nothing else.

runs -> verdicts, pictures, tables -> `templates/page.html`, with its style and script inside. A
content security policy admits that style and that script by their hashes and nothing else, so
that not even a text of the model that slipped through could load or run anything.
"""

from base64 import b64encode
from collections.abc import Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup

from rl.evaluate.formulas import AES_WEIGHTS
from rl.report import words
from rl.report.anchors import anchors
from rl.report.charts import PART_INKS
from rl.report.marks import DARK, LIGHT, Picture, run_ink
from rl.report.protocol import comparable, differing
from rl.report.run import ReportedRun
from rl.report.svg import ink_rules
from rl.report.tables import (
    Record,
    anchor_records,
    csv_text,
    failure_records,
    figure_records,
    group_records,
    metric_records,
)
from rl.report.verdict import TOLERATED_LOSS
from rl.report.view import View, together_of, view_of

MOST_BYTES = 5_000_000
METRIC_CELLS = 60_000
"""Of the training metrics as CSV, over all runs."""


@dataclass(frozen=True, slots=True)
class Table:
    """A raw table behind a link."""

    name: str
    about: str
    link: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The page, and the Pareto picture of each set of runs that may be compared."""

    html: str
    pictures: list[Picture]
    not_comparable: list[str]


def report(runs: Sequence[ReportedRun]) -> Report:
    """The report of the runs; raises ValueError when the page would be too large."""
    views = [view_of(run, run_ink(index), len(runs)) for index, run in enumerate(runs)]
    classes = comparable(runs)
    together = [together_of([view for view in views if view.run in each]) for each in classes]
    apart = _apart(classes)
    style, script = _text("page.css") + _inks(), _text("page.js")
    html = (
        _environment()
        .get_template("page.html")
        .render(
            views=views,
            together=together,
            apart=apart,
            anchors=anchors(),
            tables=_tables(views),
            aes_weights="/".join(f"{weight:g}" for weight in AES_WEIGHTS),
            tolerated=TOLERATED_LOSS,
            part_inks=PART_INKS,
            style=Markup(style),
            script=Markup(script),
            style_hash=_hash(style),
            script_hash=_hash(script),
        )
    )
    size = len(html.encode())
    if size > MOST_BYTES:
        raise ValueError(
            f"the page of {len(runs)} runs would take {size / 1e6:.1f} MB, more than "
            f"{MOST_BYTES / 1e6:.0f}; give fewer runs"
        )
    return Report(html=html, pictures=[each.picture for each in together], not_comparable=apart)


def _apart(classes: Sequence[Sequence[ReportedRun]]) -> list[str]:
    """Why the runs are not all compared; empty when they are."""
    return [
        f"{others[0].name} and {classes[0][0].name}: "
        + "; ".join(differing(others[0], classes[0][0]))
        for others in classes[1:]
    ]


def _tables(views: Sequence[View]) -> list[Table]:
    """Each table of the page as CSV in a link of its own."""
    figures = [record for view in views for record in figure_records(view.run)]
    failed = [r for view in views for r in failure_records(view.run.name, view.failures)]
    groups = [r for view in views for r in group_records(view.run.name, view.groups)]
    tables = [
        _table("figures.csv", "every evaluated figure with its interval", figures),
        _table("failures.csv", "failures by name", failed),
        _table("completions.csv", "the completions of the group browser", groups),
        _table("published.csv", "the published figures drawn grey", anchor_records(anchors())),
    ]
    for view in views:
        records = metric_records(view.run.metrics, METRIC_CELLS // len(views))
        lines = len(view.run.metrics)
        kept = "" if len(records) == lines else f" ({len(records)} of {lines} lines)"
        name = f"metrics-{view.run.name.replace('/', '-')}.csv"
        tables.append(_table(name, f"training metrics of {view.run.name}{kept}", records))
    return tables


def _table(name: str, about: str, records: Sequence[Record]) -> Table:
    data = b64encode(csv_text(records).encode()).decode()
    return Table(
        name, f"{about}, {len(records)} rows", f"data:text/csv;charset=utf-8;base64,{data}"
    )


def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("rl.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= words.FILTERS
    return environment


def _text(name: str) -> str:
    """A file of ours, as it stands."""
    environment: Any = _environment()
    source: str = environment.loader.get_source(environment, name)[0]
    return source


def _inks() -> str:
    return f"{ink_rules(LIGHT)}@media (prefers-color-scheme: dark) {{\n{ink_rules(DARK)}}}\n"


def _hash(text: str) -> str:
    """As a content security policy names a text that it admits."""
    return f"sha256-{b64encode(sha256(text.encode()).digest()).decode()}"
