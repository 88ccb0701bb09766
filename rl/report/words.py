"""Figures as a reader of the page meets them: rounded alike, with their intervals and signs."""

import re
from collections.abc import Callable
from typing import Any

from rl.evaluate.figures import Estimate

MINUS = "\N{MINUS SIGN}"
CONTROL = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
"""Control characters to the symbols that stand for them."""


def number(value: float, spec: str = ".1f") -> str:
    """With a real minus sign; `-0.0` is `0.0`."""
    text = format(value, spec)
    if not re.search(r"[1-9]|inf|nan", text):
        text = text.replace("-", "+" if "+" in spec else "")
    return text.replace("-", MINUS)


def ends(figure: Estimate, spec: str = ".1f", factor: float = 1.0) -> str:
    """`[low, high]`."""
    low, high = (number(end * factor, spec) for end in (figure.low, figure.high))
    return f"[{low}, {high}]"


def estimate(figure: Estimate | None, spec: str = ".3f", factor: float = 1.0) -> str:
    """`value [low, high]`; a dash for what is undefined."""
    if figure is None:
        return "-"
    return f"{number(figure.value * factor, spec)} {ends(figure, spec, factor)}"


def share_change(ratio: Estimate) -> Estimate:
    """A ratio as a change in per cent: 0.27 is -73."""
    return Estimate(*(100 * (each - 1) for each in (ratio.value, ratio.low, ratio.high)))


def brief(value: float) -> str:
    """Three significant digits, for values of any size."""
    return number(value, ".0f" if abs(value) >= 1000 else ".3g")


def duration(seconds: float) -> str:
    """`42 s`, `3 min 5 s`, `2 h 10 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{seconds:.1f} s" if seconds < 10 else f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def visible(text: str) -> str:
    """A text of the model with its control characters as symbols."""
    return text.translate(CONTROL)


FILTERS: dict[str, Callable[..., Any]] = {
    "number": number,
    "ends": ends,
    "estimate": estimate,
    "share_change": share_change,
    "brief": brief,
    "duration": duration,
    "visible": visible,
}
"""For the templates, under their own names."""
