"""The Pareto pictures: accuracy over tokens of our runs, and each method against its own base.

The second puts published methods beside ours, grey, for only a ratio to one's own base survives a
change of protocol, and that only roughly.
"""

from collections.abc import Sequence

from rl.evaluate.formulas import AES_WEIGHTS
from rl.report.anchors import Anchor
from rl.report.axes import Box, Frame, around, grid, linear, padded, placed_labels, ticks
from rl.report.marks import Dot, Label, Line, Mark, Picture, Point, beside
from rl.report.run import ReportedRun, Stage

WIDTH, HEIGHT = 480.0, 380.0
LEFT, RIGHT, TOP, BOTTOM = 52.0, 464.0, 50.0, 326.0
AES_LINES = (0.0, 0.5, 1.0, 1.5)
NAME_HEIGHT = 19.0

Colored = Sequence[tuple[ReportedRun, str]]
"""Runs with their inks."""


def pareto_file(runs: Colored, anchors: Sequence[Anchor]) -> Picture:
    """Both pictures in one."""
    name = "Accuracy over response tokens, and each method against its own base"
    return beside(measured_picture(runs), relative_picture(runs, anchors), name)


def measured_picture(runs: Colored) -> Picture:
    """Held-out accuracy over response tokens: a ring before training, a dot after."""
    stages = [stage for run, _ in runs for _, stage in run.stages]
    reached = [each.figures["response_tokens"] for each in stages]
    scores = [each.figures["accuracy"] for each in stages]
    most = max([each.high for each in reached] + [x for run, _ in runs for x, _ in run.path])
    low, high = padded([end for each in scores for end in (each.low, each.high)])
    low, high = max(0.0, low), min(1.0, high)
    frame = _frame((0.0, most * 1.06), (low, high))
    marks = grid(
        frame,
        [(value, f"{value:g}") for value in ticks(0, most * 1.06)],
        [(value, f"{value:g}") for value in ticks(low, high)],
        "mean response tokens, held-out problems",
        "accuracy",
    )
    marks.insert(0, Label(8, 20, "Measured: up and to the left is better", "text", bold=True))
    texts: list[tuple[float, float, str]] = []
    taken: list[Box] = []
    for run, ink in runs:
        places = tuple((frame.x(x), frame.y(y)) for x, y in run.path)
        marks.append(Line(places, ink, 1.5, dashed=True))
        for heading, stage in run.stages:
            marks += _with_whiskers(frame, stage, ink, f"{run.name}, {heading}", heading == "after")
            x, y = _place(frame, stage)
            taken += [around(x, y, 6), *_whisker_boxes(frame, stage)]
            if len(runs) == 1:
                texts.append((x, y, _text(heading, stage)))
    marks += placed_labels(texts, taken, frame, "text", 11.5)
    names = _names(runs) if len(runs) > 1 else []
    height = HEIGHT + NAME_HEIGHT * len(names) / 2
    return Picture(WIDTH, height, "Held-out accuracy over mean response tokens", (*marks, *names))


def relative_picture(runs: Colored, anchors: Sequence[Anchor]) -> Picture:
    """Accuracy over share of tokens, each against its own base, with lines of equal AES."""
    ours = [
        (run, ink, run.change.token_ratio.value, change)
        for run, ink in runs
        if run.change and (change := relative_change(run)) is not None
    ]
    ratios = [ratio for _, _, ratio, _ in ours] + [each.token_ratio for each in anchors]
    changes = [change for _, _, _, change in ours] + [each.accuracy_change for each in anchors]
    low, high = padded([*changes, 0.0])
    frame = _frame((0.0, max([*ratios, 1.0]) * 1.08), (low, high))
    marks = grid(
        frame,
        [(v, f"{v:.0%}") for v in ticks(0, max([*ratios, 1.0]) * 1.08)],
        [(v, f"{v:+.0%}" if v else "0%") for v in ticks(low, high)],
        "tokens, share of one's own base",
        "accuracy, relative to one's own base",
    )
    title = "Against one's own base; grey: published, other protocol"
    marks.insert(0, Label(8, 20, title, "text", bold=True))
    lines = {score: _aes_points(frame, score, low, high) for score in AES_LINES}
    marks += [Line(points, "grid", 1.2, dashed=True) for points in lines.values() if points]
    base = (frame.x(1.0), frame.y(0.0))
    marks.append(Dot(*base, 4, "muted", filled=False, tip="the base"))
    taken = [around(*base, 6)]
    grey: list[tuple[float, float, str]] = []
    for each in anchors:
        x, y = frame.x(each.token_ratio), frame.y(each.accuracy_change)
        tip = f"{each.method}: other protocol ({each.paper}), AES {each.aes:+.2f}"
        marks.append(Dot(x, y, 3, "other", tip=tip))
        taken.append(around(x, y, 5))
        grey.append((x, y, each.method))
    texts = []
    for run, ink, ratio, change in ours:
        x, y = frame.x(ratio), frame.y(change)
        marks.append(Dot(x, y, 6, ink, tip=f"{run.name}: tokens x{ratio:.2f}, {change:+.1%}"))
        taken.append(around(x, y, 9))
        if len(runs) == 1:
            texts.append((x + 3, y, "this run"))
    own = placed_labels(texts, taken, frame, "text", 12)
    taken += [(t.x, t.y - t.size, t.x + 7 * len(t.text), t.y + 2) for t in own]
    marks += [*own, *placed_labels(grey, taken, frame, "other", 10)]
    named = [(*points[-1], f"AES {score:g}") for score, points in lines.items() if points]
    taken += [(t.x, t.y - t.size, t.x + 6 * len(t.text), t.y + 2)
              for t in marks if isinstance(t, Label)]  # fmt: skip
    marks += placed_labels(named, taken, frame, "other", 10)
    return Picture(WIDTH, HEIGHT, title, tuple(marks))


def relative_change(run: ReportedRun) -> float | None:
    """(A - A0) / A0; None without both evaluations, or from a base that solves nothing."""
    if run.change is None or not run.change.base["accuracy"].value:
        return None
    return run.change.change["accuracy"].value / run.change.base["accuracy"].value


def _aes_points(frame: Frame, score: float, low: float, high: float) -> tuple[Point, ...]:
    """Where (1 - ratio) + gained dA - lost |dA| is the score; bent where accuracy is the base's.

    Empty for a line that does not cross the frame.
    """
    saved, gained, lost = AES_WEIGHTS

    def ratio(change: float) -> float:
        worth = gained * max(change, 0.0) - lost * max(-change, 0.0)
        return (saved + worth - score) / saved

    heights = sorted({0.0, *(low + (high - low) * index / 200 for index in range(201))})
    inside = [(ratio(y), y) for y in heights if frame.holds(ratio(y), y)]
    ends = [(x, y) for x, y in inside if (x, y) in (inside[0], inside[-1]) or not y]
    return tuple((frame.x(x), frame.y(y)) for x, y in ends) if len(ends) > 1 else ()


def _text(heading: str, stage: Stage) -> str:
    each = stage.figures.get("tokens_per_correct")
    return f"{heading}: {each.value:.1f} per right answer" if each else heading


def _names(runs: Colored) -> list[Mark]:
    """A line for each run below the picture: its dot and its name."""
    marks: list[Mark] = []
    for row, (run, ink) in enumerate(runs):
        y = HEIGHT + NAME_HEIGHT * row
        marks += [Dot(LEFT + 5, y - 4, 4, ink), Label(LEFT + 16, y, run.name, "text")]
    return marks


def _whisker_boxes(frame: Frame, stage: Stage) -> list[Box]:
    tokens, accuracy = stage.figures["response_tokens"], stage.figures["accuracy"]
    x, y = _place(frame, stage)
    return [
        (frame.x(tokens.low), y - 2, frame.x(tokens.high), y + 2),
        (x - 2, frame.y(accuracy.high), x + 2, frame.y(accuracy.low)),
    ]


def _with_whiskers(frame: Frame, stage: Stage, ink: str, name: str, filled: bool) -> list[Mark]:
    tokens, accuracy = stage.figures["response_tokens"], stage.figures["accuracy"]
    x, y = _place(frame, stage)
    tip = (
        f"{name} (step {stage.step}): accuracy {accuracy.value:.3f} [{accuracy.low:.3f}, "
        f"{accuracy.high:.3f}], {tokens.value:.1f} tokens [{tokens.low:.1f}, {tokens.high:.1f}]"
    )
    return [
        Line(((frame.x(tokens.low), y), (frame.x(tokens.high), y)), ink, 1.5),
        Line(((x, frame.y(accuracy.low)), (x, frame.y(accuracy.high))), ink, 1.5),
        Dot(x, y, 5 if filled else 4.5, ink, filled, tip),
    ]


def _place(frame: Frame, stage: Stage) -> tuple[float, float]:
    tokens, accuracy = stage.figures["response_tokens"], stage.figures["accuracy"]
    return frame.x(tokens.value), frame.y(accuracy.value)


def _frame(xs: tuple[float, float], ys: tuple[float, float]) -> Frame:
    return Frame(
        left=LEFT,
        right=RIGHT,
        top=TOP,
        bottom=BOTTOM,
        x=linear(*xs, LEFT, RIGHT),
        y=linear(*ys, BOTTOM, TOP),
    )
