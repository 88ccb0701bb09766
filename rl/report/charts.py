"""The other pictures: accuracy under budgets, length by difficulty, the health strip, seconds."""

from collections.abc import Mapping, Sequence

from rl.evaluate.figures import Estimate
from rl.report.axes import Frame, grid, linear, logarithmic, padded, ticks
from rl.report.health import Series, Spent, bucketed
from rl.report.marks import Area, Bar, Dot, Label, Line, Mark, Picture, thinned
from rl.report.run import Stage

MOST_POINTS = 240
"""Of a curve; a longer run is drawn as means of neighbouring steps."""

MOST_BARS = 90
PART_INKS = {"rollout": "a", "learn": "b", "sync": "c", "score": "d", "probe": "e", "rest": "other"}

Curve = tuple[str, str, bool, Mapping[int, Estimate]]
"""Name, ink, whether dashed, accuracy by cap."""


def budget_picture(curves: Sequence[Curve]) -> Picture:
    """Accuracy within a cap over the cap, with 95 % intervals; the x axis halves and doubles."""
    caps = sorted({cap for *_, curve in curves for cap in curve})
    most = max(each.high for *_, curve in curves for each in curve.values())
    high = min(1.0, most * 1.02) or 1.0
    frame = Frame(
        left=48, right=500, top=34, bottom=262,
        x=logarithmic(caps[0], max(caps[-1], caps[0] + 1), 48, 500), y=linear(0, high, 262, 34),
    )  # fmt: skip
    shown = caps[::2] if len(caps) > 6 else caps
    marks = grid(
        frame,
        [(cap, str(cap)) for cap in (shown if shown[-1] == caps[-1] else [*shown, caps[-1]])],
        [(value, f"{value:g}") for value in ticks(0, high)],
        "budget in tokens; a longer answer is wrong",
        "accuracy within the budget",
    )
    for _, ink, _, curve in curves:
        up = [(frame.x(cap), frame.y(each.high)) for cap, each in curve.items()]
        down = [(frame.x(cap), frame.y(each.low)) for cap, each in reversed(list(curve.items()))]
        marks.append(Area((*up, *down), ink))
    for name, ink, dashed, curve in curves:
        points = tuple((frame.x(cap), frame.y(each.value)) for cap, each in curve.items())
        marks.append(Line(points, ink, 2.2, dashed))
        marks += [
            Dot(*point, 2, ink, tip=f"{name}, budget {cap}: {each.value:.3f} "
                f"[{each.low:.3f}, {each.high:.3f}]")
            for point, (cap, each) in zip(points, curve.items(), strict=True)
        ]  # fmt: skip
    return Picture(516, 304, "Accuracy within a budget of tokens", tuple(marks))


Change = tuple[str, Estimate | None, Estimate | None]
"""A row's name, its figure before and after."""


def length_rows(before: Stage | None, after: Stage | None) -> list[Change]:
    """Tokens by correctness, then by difficulty level."""

    def figure(stage: Stage | None, name: str) -> Estimate | None:
        return stage.figures.get(name) if stage else None

    def at(stage: Stage | None, level: str) -> Estimate | None:
        return stage.levels[level]["response_tokens"] if stage and level in stage.levels else None

    levels = dict.fromkeys(level for each in (before, after) if each for level in each.levels)
    names = {"all answers": "response_tokens", "right": "correct_tokens", "wrong": "wrong_tokens"}
    rows = [(name, figure(before, key), figure(after, key)) for name, key in names.items()]
    rows += [(f"level {level}", at(before, level), at(after, level)) for level in levels]
    return [row for row in rows if row[1] or row[2]]


def length_picture(rows: Sequence[Change], ink: str) -> Picture:
    """A row each: a ring before, a dot after, both with their 95 % intervals."""
    height, top, left, right = 22.0, 34.0, 92.0, 500.0
    bottom = top + height * len(rows)
    most = max(each.high for _, *pair in rows for each in pair if each)
    frame = Frame(
        left=left, right=right, top=top, bottom=bottom,
        x=linear(0, most * 1.04, left, right), y=lambda row: top + height * (row + 0.5),
    )  # fmt: skip
    marks: list[Mark] = []
    for value in ticks(0, most * 1.04):
        marks.append(Line(((frame.x(value), top), (frame.x(value), bottom)), "grid"))
        marks.append(Label(frame.x(value), bottom + 16, f"{value:g}", anchor="middle", size=11))
    marks.append(Label(frame.middle, bottom + 34, "mean response tokens", anchor="middle"))
    marks.append(Label(left, 20, "ring before, dot after"))
    for row, (name, before, after) in enumerate(rows):
        y = frame.y(row)
        marks.append(Label(left - 10, y + 4, name, "text", "end"))
        if before and after:
            marks.append(Line(((frame.x(before.value), y), (frame.x(after.value), y)), ink, 1.2))
        for each, color, filled in ((before, "muted", False), (after, ink, True)):
            if each:
                marks.append(Line(((frame.x(each.low), y), (frame.x(each.high), y)), color, 3))
                tip = f"{name}: {each.value:.1f} tokens [{each.low:.1f}, {each.high:.1f}]"
                marks.append(Dot(frame.x(each.value), y, 4.5, color, filled, tip))
    return Picture(516, bottom + 42, "Response tokens by correctness and difficulty", tuple(marks))


def strip_picture(series: Series, ink: str, alarmed: Sequence[int] = ()) -> Picture:
    """One metric over the steps, small; a red line where a guard rang."""
    points = thinned(series.curve, MOST_POINTS)
    low, high = padded([y for _, y in points])
    if min(y for _, y in points) >= 0:
        low = max(low, 0.0)
    first, last = series.curve[0][0], series.curve[-1][0]
    frame = Frame(
        left=4, right=226, top=6, bottom=66,
        x=linear(first, max(last, first + 1), 4, 222), y=linear(low, high, 64, 8),
    )  # fmt: skip
    marks: list[Mark] = [Line(((4, 66), (226, 66)), "grid")]
    marks += [Line(((frame.x(at), 6), (frame.x(at), 66)), "bad", 1.5) for at in alarmed]
    marks.append(Line(tuple((frame.x(x), frame.y(y)) for x, y in points), ink, 1.8))
    marks.append(Dot(frame.x(points[-1][0]), frame.y(points[-1][1]), 2.5, ink))
    return Picture(230, 70, f"{series.name} over the steps", tuple(marks))


def time_picture(spent: Spent) -> Picture:
    """Seconds of each step, its parts on top of each other."""
    parts = {name: bucketed(values, MOST_BARS) for name, values in spent.parts.items()}
    steps = bucketed([float(step) for step in spent.steps], MOST_BARS)
    sums = [sum(values) for values in zip(*parts.values(), strict=True)]
    most = max(sums) or 1.0
    left, right, top, bottom = 48.0, 500.0, 34.0, 206.0
    room = (right - left) / len(steps)
    frame = Frame(
        left=left, right=right, top=top, bottom=bottom,
        x=lambda index: left + room * (index + 0.5), y=linear(0, most, bottom, top),
    )  # fmt: skip
    every = max(1, -(-len(steps) // 8))
    shown = [(float(i), f"{step:.0f}") for i, step in enumerate(steps) if i % every == 0]
    marks = grid(frame, shown, [(v, f"{v:g}") for v in ticks(0, most, 4)], "step", "seconds")
    base = [0.0] * len(steps)
    for name, values in parts.items():
        for index, value in enumerate(values):
            if value > 0:
                y, below = frame.y(base[index] + value), frame.y(base[index])
                tip = f"step {steps[index]:.0f}, {name}: {value:.2f} s"
                x = left + room * (index + 0.1)
                marks.append(Bar(x, y, room * 0.8, below - y, PART_INKS[name], tip))
                base[index] += value
    return Picture(516, 250, "Seconds of each training step by part", tuple(marks))
