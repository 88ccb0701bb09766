"""Axes: from figures to places in a picture, ticks at round numbers, labels that do not meet."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from math import ceil, floor, log2, log10

from rl.report.marks import Label, Line, Mark, text_width

Scale = Callable[[float], float]
Box = tuple[float, float, float, float]
"""Left, top, right, bottom."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Frame:
    """The inside of the axes in pixels, and where figures stand in it."""

    left: float
    right: float
    top: float
    bottom: float
    x: Scale
    y: Scale

    @property
    def middle(self) -> float:
        return (self.left + self.right) / 2

    def holds(self, x: float, y: float) -> bool:
        """Whether a figure lies inside."""
        return (
            self.left - 0.5 <= self.x(x) <= self.right + 0.5
            and self.top - 0.5 <= self.y(y) <= self.bottom + 0.5
        )


def linear(low: float, high: float, start: float, stop: float) -> Scale:
    """The line through (low, start) and (high, stop)."""
    span = (high - low) or 1.0
    return lambda value: start + (stop - start) * (value - low) / span


def logarithmic(low: float, high: float, start: float, stop: float) -> Scale:
    """As `linear`, in log2 of positive figures."""
    inner = linear(log2(low), log2(high), start, stop)
    return lambda value: inner(log2(value))


def ticks(low: float, high: float, about: int = 5) -> list[float]:
    """Multiples of 1, 2, 2.5 or 5 times a power of ten between `low` and `high`."""
    span = high - low
    if span <= 0:
        return [low]
    rough = span / about
    power = 10.0 ** floor(log10(rough))
    step = next(m * power for m in (1, 2, 2.5, 5, 10) if m * power >= rough * 0.999)
    first, last = ceil(low / step - 1e-9), floor(high / step + 1e-9)
    return [round(index * step, 10) for index in range(first, last + 1)]


def padded(values: Iterable[float], share: float = 0.08) -> tuple[float, float]:
    """The range of the values with some air; never empty."""
    found = list(values)
    low, high = min(found), max(found)
    air = (high - low) * share or abs(high) * share or 1.0
    return low - air, high + air


def grid(
    frame: Frame,
    xs: Sequence[tuple[float, str]],
    ys: Sequence[tuple[float, str]],
    x_name: str,
    y_name: str,
) -> list[Mark]:
    """Horizontal grid lines, ticks with their texts, and the names of both axes."""
    marks: list[Mark] = []
    for value, text in ys:
        at = frame.y(value)
        marks.append(Line(((frame.left, at), (frame.right, at)), "grid"))
        marks.append(Label(frame.left - 7, at + 4, text, anchor="end", size=11))
    for value, text in xs:
        marks.append(Label(frame.x(value), frame.bottom + 17, text, anchor="middle", size=11))
    marks.append(Label(frame.middle, frame.bottom + 36, x_name, anchor="middle"))
    marks.append(Label(frame.left, frame.top - 10, y_name))
    return marks


def placed_labels(
    labels: Sequence[tuple[float, float, str]],
    taken: Iterable[Box],
    frame: Frame,
    ink: str,
    size: float,
) -> list[Label]:
    """A label beside each point, at the first of eight places that is free; else it is left out.

    `labels` are (x, y, text) in pixels, `taken` what may not be covered.
    """
    boxes, found = list(taken), []
    for x, y, text in labels:
        width = text_width(text, size)
        beside = ((7.0, 4.0), (-7 - width, 4.0), (-width / 2, -8.0), (-width / 2, 8 + size))
        across = ((6.0, -7.0), (6.0, 6 + size), (-6 - width, -7.0), (-6 - width, 6 + size))
        for right, down in (*beside, *across):
            left, base = x + right, y + down
            box = (left, base - size, left + width, base + 2)
            inside = frame.left <= box[0] and box[2] <= frame.right + 2 and box[1] >= frame.top - 4
            if inside and box[3] <= frame.bottom and not any(_meet(box, other) for other in boxes):
                boxes.append(box)
                found.append(Label(left, base, text, ink, size=size))
                break
    return found


def around(x: float, y: float, reach: float) -> Box:
    """The box around a dot."""
    return (x - reach, y - reach, x + reach, y + reach)


def _meet(one: Box, other: Box) -> bool:
    apart = one[2] <= other[0] or other[2] <= one[0] or one[3] <= other[1] or other[3] <= one[1]
    return not apart
