"""What a picture is made of: lines, areas, dots, bars and labels, in colors that have names.

Nothing here knows a file format; `rl.report.svg` and `rl.report.png` draw the same marks. Places
are pixels from the upper left corner.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

Point = tuple[float, float]
Anchor = Literal["start", "middle", "end"]

RUN_INKS = ("a", "b", "c", "d", "e", "f", "g", "h")
"""Colors of runs; the ninth run takes the first again."""

LIGHT = {
    "text": "#1f2937", "muted": "#5b6472", "grid": "#e3e6ea", "other": "#8b939e",
    "a": "#1d5fd1", "b": "#b9560b", "c": "#0d7f57", "d": "#8a3fd1", "e": "#b91c4b", "f": "#0b7285",
    "g": "#7a5a0c", "h": "#4d7314", "good": "#0d7f57", "bad": "#b91c1c",
}  # fmt: skip
DARK = {
    "text": "#e8eaed", "muted": "#a3abb6", "grid": "#333a44", "other": "#7f8894",
    "a": "#7aa9f7", "b": "#f0a35c", "c": "#4fcf9d", "d": "#c79bf5", "e": "#f58aa8", "f": "#5cc8da",
    "g": "#d9b85f", "h": "#a8cf6a", "good": "#4fcf9d", "bad": "#f58a8a",
}  # fmt: skip
"""Ink to color, on light and on dark ground; both have the same inks."""


@dataclass(frozen=True, slots=True)
class Line:
    """Through all points; `tip` is shown where a pointer rests."""

    points: tuple[Point, ...]
    ink: str
    width: float = 1.0
    dashed: bool = False
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Area:
    """The inside of the points, lightly filled."""

    points: tuple[Point, ...]
    ink: str


@dataclass(frozen=True, slots=True)
class Dot:
    """A dot, or a ring when it is not filled."""

    x: float
    y: float
    radius: float
    ink: str
    filled: bool = True
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Bar:
    x: float
    y: float
    width: float
    height: float
    ink: str
    tip: str = ""


@dataclass(frozen=True, slots=True)
class Label:
    """Text whose baseline is at y; `turned` reads upwards."""

    x: float
    y: float
    text: str
    ink: str = "muted"
    anchor: Anchor = "start"
    size: float = 12.0
    bold: bool = False
    turned: bool = False


Mark = Line | Area | Dot | Bar | Label


@dataclass(frozen=True, slots=True)
class Picture:
    """`name` says to those who cannot see it what is shown."""

    width: float
    height: float
    name: str
    marks: tuple[Mark, ...]


def beside(left: Picture, right: Picture, name: str) -> Picture:
    """Both pictures in one, the second to the right of the first."""
    moved = (shifted(mark, left.width) for mark in right.marks)
    height = max(left.height, right.height)
    return Picture(left.width + right.width, height, name, (*left.marks, *moved))


def shifted(mark: Mark, right: float) -> Mark:
    """The mark, so many pixels further to the right."""
    if isinstance(mark, Line | Area):
        return replace(mark, points=tuple((x + right, y) for x, y in mark.points))
    return replace(mark, x=mark.x + right)


def text_width(text: str, size: float) -> float:
    """About how wide a text of that size is."""
    return 0.56 * size * len(text)


def run_ink(index: int) -> str:
    """The color of the run that was given at that place."""
    return RUN_INKS[index % len(RUN_INKS)]


def thinned(values: Sequence[Point], at_most: int) -> list[Point]:
    """The points of a long curve as means of equally many neighbours each."""
    size = -(-len(values) // at_most) if values else 1
    parts = [values[start : start + size] for start in range(0, len(values), size)]
    return [(sum(x for x, _ in p) / len(p), sum(y for _, y in p) / len(p)) for p in parts]
