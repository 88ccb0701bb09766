"""Draws docs/lab.svg from results/lab.json: the quickstart's accuracy over response tokens.

    python scripts/make_picture.py

Every run is a line from a ring (before training) to a dot (after). Readable on light and dark
pages.
"""

import json
from collections.abc import Callable, Sequence
from math import ceil, floor
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parent.parent
LAB, PICTURE = ROOT / "results" / "lab.json", ROOT / "docs" / "lab.svg"
SHOWN = ("short", "quickstart")
"""Lab and method of the rows that are drawn; each variant has its color."""

WIDTH, HEIGHT = 640, 360
LEFT, RIGHT, TOP, BOTTOM = 64, 620, 64, 304
COLORS = "abcd"
STYLE = """
    text { font: 13px system-ui, sans-serif; fill: #4b5563; }
    .title { font-size: 15px; font-weight: 600; fill: #111827; }
    .grid { stroke: #e5e7eb; }
    .a { color: #2563eb; } .b { color: #d97706; } .c { color: #059669; } .d { color: #9333ea; }
    .path { stroke: currentColor; stroke-width: 1.5; stroke-opacity: 0.45; }
    .before { stroke: currentColor; stroke-width: 2; fill: none; }
    .after { fill: currentColor; }
    .name { fill: currentColor; font-weight: 600; }
    @media (prefers-color-scheme: dark) {
      text { fill: #9ca3af; } .title { fill: #f3f4f6; } .grid { stroke: #374151; }
      .a { color: #60a5fa; } .b { color: #fbbf24; } .c { color: #34d399; } .d { color: #c084fc; }
      .name { fill: currentColor; }
    }
"""

Row = dict[str, Any]
Scale = Callable[[float], float]


def main() -> None:
    PICTURE.parent.mkdir(exist_ok=True)
    PICTURE.write_text(picture(json.loads(LAB.read_text())))


def picture(rows: Sequence[Row]) -> str:
    """The SVG; rows of other labs and methods are left out."""
    runs = [row for row in rows if (row["lab"], row["method"]) == SHOWN]
    runs.sort(key=lambda run: (run["variant"], run["seed"]))
    tokens = [run[name] for run in runs for name in ("base_response_tokens", "response_tokens")]
    scores = [run[name] for run in runs for name in ("base_accuracy", "accuracy")]
    most_tokens = 25 * ceil(max(tokens, default=100) * 1.05 / 25)
    least = floor(min(scores, default=0.8) * 20 - 0.5) / 20

    def x(value: float) -> float:
        return LEFT + (RIGHT - LEFT) * value / most_tokens

    def y(value: float) -> float:
        return TOP + (BOTTOM - TOP) * (1 - value) / (1 - least)

    variants = list(dict.fromkeys(run["variant"] for run in runs))
    colors = dict(zip(variants, COLORS, strict=False))
    marks = [*_axes(x, y, most_tokens, least), *_legend(colors)]
    for run in runs:
        marks += _run_marks(x, y, run, colors[run["variant"]])
    body = "\n".join(f"  {mark}" for mark in marks)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" role="img" '
        'aria-label="Held-out accuracy over response tokens before and after training">\n'
        f"  <style>{STYLE}  </style>\n{body}\n</svg>\n"
    )


def _run_marks(x: Scale, y: Scale, run: Row, color: str) -> list[str]:
    left, top = x(run["base_response_tokens"]), y(run["base_accuracy"])
    right, bottom = x(run["response_tokens"]), y(run["accuracy"])
    return [
        f'<line class="path {color}" x1="{left:.1f}" y1="{top:.1f}" x2="{right:.1f}" '
        f'y2="{bottom:.1f}"/>',
        f'<circle class="before {color}" cx="{left:.1f}" cy="{top:.1f}" r="5"/>',
        f'<circle class="after {color}" cx="{right:.1f}" cy="{bottom:.1f}" r="5.5"/>',
    ]


def _axes(x: Scale, y: Scale, most_tokens: int, least: float) -> list[str]:
    middle, center = (LEFT + RIGHT) / 2, (TOP + BOTTOM) / 2
    marks = [
        f'<text class="title" x="{LEFT}" y="22">Accuracy over response tokens, '
        "before and after training</text>",
        f'<text x="{middle:.0f}" y="{HEIGHT - 14}" text-anchor="middle">'
        "mean response tokens on held-out problems (T=1)</text>",
        f'<text x="16" y="{center:.0f}" text-anchor="middle" '
        f'transform="rotate(-90 16 {center:.0f})">accuracy</text>',
    ]
    for tick in range(0, most_tokens + 1, most_tokens // 5):
        place = f'x="{x(tick):.1f}" y="{BOTTOM + 18}" text-anchor="middle"'
        marks.append(f"<text {place}>{tick}</text>")
    spacing = 0.05 if 1 - least < 0.4 else 0.1
    for index in range(int((1 - least) / spacing + 1e-9) + 1):
        level = 1 - index * spacing
        ends = f'x1="{LEFT}" y1="{y(level):.1f}" x2="{RIGHT}" y2="{y(level):.1f}"'
        place = f'x="{LEFT - 8}" y="{y(level) + 4:.1f}" text-anchor="end"'
        marks += [f'<line class="grid" {ends}/>', f"<text {place}>{level:.2f}</text>"]
    return marks


def _legend(colors: dict[str, str]) -> list[str]:
    marks, left = [], LEFT
    for variant, color in colors.items():
        name = variant.replace("_", " ") or "quickstart"
        marks.append(f'<text class="name {color}" x="{left}" y="44">{name}</text>')
        left += 8 * len(name) + 20
    marks.append(f'<text x="{left}" y="44">ring before, dot after; one line per seed</text>')
    return marks


if __name__ == "__main__":
    main()
