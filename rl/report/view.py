"""What the page says of one run, and of runs that may be compared, with the pictures drawn."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from markupsafe import Markup

from rl.evaluate.comparison import Comparison, compare
from rl.report.anchors import anchors
from rl.report.charts import (
    budget_picture,
    length_picture,
    length_rows,
    strip_picture,
    time_picture,
)
from rl.report.failures import Failure, failures
from rl.report.groups import ShownGroup, held_out_groups, training_groups, within
from rl.report.health import Alarm, Series, Spent, alarms, spent, strip
from rl.report.marks import Picture
from rl.report.pareto import Colored, measured_picture, pareto_file, relative_picture
from rl.report.protocol import chosen, differing_options
from rl.report.run import ReportedRun
from rl.report.svg import svg_element
from rl.report.timeline import timeline_picture
from rl.report.verdict import Verdict, verdict
from rl.run.card import repeat_command
from rl.run.timeline import read_timeline

TEXT_BYTES = 700_000
"""Of prompts and completions, over all runs: each stands in the page twice, shown and as CSV."""

MOST_RECORDS = 2_000
"""Of a timeline in the page: a bar each, some 150 bytes."""

METHOD_GROUPS = ("budget", "limit", "reward", "gate", "algorithm")


@dataclass(frozen=True, slots=True, kw_only=True)
class View:
    """Everything that the page says of one run."""

    run: ReportedRun
    ink: str
    verdict: Verdict | None
    command: str
    options: Mapping[str, str]
    """The option of each group that makes the method: its first line may name another one."""
    lengths: Markup | None
    strip: list[tuple[Series, Markup]]
    alarms: list[Alarm]
    spent: Spent
    seconds: Markup | None
    timeline: Markup | None
    """Of the latest step, unless it has more records than a page should hold."""
    failures: list[Failure]
    groups: list[ShownGroup]
    num_groups: int
    """Chosen to be shown; as many as the page has room for are in `groups`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Together:
    """Runs that may be compared, with their pictures; `against` the first of them, where paired."""

    views: list[View]
    measured: Markup
    relative: Markup
    budgets: Markup
    against: list[tuple[View, Comparison]]
    options: Mapping[str, list[str]]
    picture: Picture


def view_of(run: ReportedRun, ink: str, num_runs: int) -> View:
    """`num_runs` share the allowance of text. Raises ValueError when a file cannot be read."""
    steps, wall = run.steps, run.summary("wall_s")
    seconds = spent(run.metrics, float(wall) if wall else None)
    rung = alarms(steps)
    at = sorted({step for alarm in rung for step in alarm.steps})
    rows = length_rows(run.before, run.after)
    trained, held_out = training_groups(run.record.folder), list[ShownGroup]()
    if run.before and run.after:
        held_out = held_out_groups(run.before.evaluation, run.after.evaluation)
    return View(
        run=run,
        ink=ink,
        verdict=verdict(run.change) if run.change else None,
        command=repeat_command(run.record, f"{run.name}/recipe.yaml"),
        options={name: option for name, option in chosen(run).items() if name in METHOD_GROUPS},
        lengths=_drawn(length_picture(rows, ink)) if rows else None,
        strip=[(series, _drawn(strip_picture(series, ink, at))) for series in strip(steps)],
        alarms=rung,
        spent=seconds,
        seconds=_drawn(time_picture(seconds)) if seconds.steps else None,
        timeline=_timeline(run.record.folder),
        failures=failures(run),
        num_groups=len(held_out) + len(trained),
        groups=within(held_out, trained, TEXT_BYTES // num_runs),
    )


def together_of(views: list[View]) -> Together:
    """The pictures of evaluated runs that may be compared."""
    colored: Colored = [(view.run, view.ink) for view in views]
    curves = [
        (f"{view.run.name}, {heading}", view.ink, heading == "before", stage.curve)
        for view in views
        for heading, stage in view.run.stages
    ]
    published = anchors()
    return Together(
        views=views,
        measured=_drawn(measured_picture(colored)),
        relative=_drawn(relative_picture(colored, published)),
        budgets=_drawn(budget_picture(curves)),
        against=_against_first(views),
        options=differing_options([view.run for view in views]),
        picture=pareto_file(colored, published),
    )


def _against_first(views: Sequence[View]) -> list[tuple[View, Comparison]]:
    """The last evaluation of every trained run against that of the first, problem by problem."""
    trained = [(view, view.run.after.evaluation) for view in views if view.run.after]
    if not trained:
        return []
    (_, first), *others = trained
    base = first.outcomes.sampled
    return [(view, compare(each.outcomes.sampled, base)) for view, each in others]


def _timeline(folder: Path) -> Markup | None:
    records = read_timeline(folder)
    return _drawn(timeline_picture(records)) if 0 < len(records) <= MOST_RECORDS else None


def _drawn(picture: Picture) -> Markup:
    """Marks are escaped where they are drawn."""
    return Markup(svg_element(picture))
