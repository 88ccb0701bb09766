"""The timeline picture: what every replica and the learner did, from the records of a run.

A lane per replica, in which each completion has a row of its own, one lane for the verifiers if
they have records, and one for the learner; where a lane is empty it was idle.
"""

from collections.abc import Iterable, Sequence

from rl.report.axes import Frame, Scale, grid, linear, ticks
from rl.report.charts import PART_INKS
from rl.report.marks import Bar, Label, Line, Mark, Picture
from rollout.timeline import LEARNER, Activity, Kind, idle_share

INKS = {
    Kind.GENERATE: PART_INKS["rollout"],
    Kind.VERIFY: PART_INKS["score"],
    Kind.LEARN: PART_INKS["learn"],
    Kind.PUBLISH: PART_INKS["sync"],
}
"""The colors of the same parts in the picture of the seconds."""

LEFT, RIGHT, TOP, WIDTH = 110.0, 700.0, 48.0, 780.0
LANE_GAP = 10.0
MOST_LANE_HEIGHT, MOST_ROW_HEIGHT = 64.0, 14.0
THINNEST_BAR = 0.3
BETWEEN_BARS = 0.5
"""Pixels; completions that follow one another in a row must be told apart."""


def timeline_picture(activities: Sequence[Activity]) -> Picture:
    """The time from the first start to the last end; raises ValueError without a record."""
    if not activities:
        raise ValueError("a timeline needs at least one record; none was given")
    start, end = min(a.start for a in activities), max(a.end for a in activities)
    scale, top = linear(start, max(end, start + 1e-9), LEFT, RIGHT), TOP
    marks: list[Mark] = []
    for name in _lanes(activities):
        lane = [activity for activity in activities if activity.lane == name]
        bars, height = _bars(rows(lane), scale, top)
        middle, rule = top + height / 2 + 4, top + height + LANE_GAP / 2
        idle = f"{idle_share(lane, start, end):.0%} idle"
        marks += [*bars, Line(((LEFT, rule), (RIGHT, rule)), "grid")]
        marks += [Label(LEFT - 10, middle, name, "text", "end"), Label(RIGHT + 8, middle, idle)]
        top += height + LANE_GAP
    frame = Frame(left=LEFT, right=RIGHT, top=TOP, bottom=top, x=scale, y=linear(0, 1, top, TOP))
    seconds = [(start + value, f"{value:g}") for value in ticks(0, end - start)]
    axes = grid(frame, seconds, [], "seconds", "")
    return Picture(WIDTH, top + 44, "What ran when", (*axes, *_legend(activities), *marks))


def rows(activities: Iterable[Activity]) -> list[list[Activity]]:
    """As few rows as can be, none of which holds two records at one time; ordered by start."""
    found: list[list[Activity]] = []
    for each in sorted(activities, key=lambda activity: (activity.start, activity.end)):
        free = next((row for row in found if row[-1].end <= each.start), None)
        if free is None:
            found.append([each])
        else:
            free.append(each)
    return found


def _lanes(activities: Sequence[Activity]) -> list[str]:
    """Replicas by name, short names first (2 before 10), the learner last."""
    names = {activity.lane for activity in activities}
    return sorted(names, key=lambda name: (name == LEARNER, len(name), name))


def _bars(rows: Sequence[Sequence[Activity]], scale: Scale, top: float) -> tuple[list[Bar], float]:
    """The bars of a lane that begins at `top`, and the lane's height."""
    height = min(MOST_ROW_HEIGHT, MOST_LANE_HEIGHT / len(rows))
    bars = []
    for index, row in enumerate(rows):
        for each in row:
            left, right = scale(each.start), scale(each.end)
            width = max(right - left - BETWEEN_BARS, THINNEST_BAR)
            tip = f"{each.name}: {each.kind} {each.end - each.start:.2f} s"
            y = top + index * height
            bars.append(Bar(left, y, width, height * 0.85, INKS[each.kind], tip))
    return bars, height * len(rows)


def _legend(activities: Sequence[Activity]) -> list[Mark]:
    marks: list[Mark] = []
    kinds = {activity.kind for activity in activities}
    for place, kind in enumerate(kind for kind in Kind if kind in kinds):
        left = LEFT + 110 * place
        marks.append(Bar(left, 16, 12, 12, INKS[kind]))
        marks.append(Label(left + 18, 26, kind))
    return marks
