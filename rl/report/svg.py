"""A picture as SVG: inside a page, which brings the colors, or as a file that brings its own."""

from xml.sax.saxutils import escape, quoteattr

from rl.report.marks import DARK, LIGHT, Area, Bar, Dot, Label, Line, Mark, Picture, Point

FONT = "system-ui, -apple-system, 'Segoe UI', Roboto, sans-serif"


def svg_element(picture: Picture, head: str = "") -> str:
    """The `<svg>` element; its marks have the classes of `ink_rules`."""
    body = "\n".join(_element(mark) for mark in picture.marks)
    size = f"{picture.width:g} {picture.height:g}"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {size}" role="img" '
        f"aria-label={quoteattr(picture.name)}>\n{head}{body}\n</svg>"
    )


def svg_file(picture: Picture) -> str:
    """A file of its own, light or dark as the reader's screen."""
    style = f"svg {{ background: #ffffff; }} text {{ font-family: {FONT}; }}\n{ink_rules(LIGHT)}"
    dark = f"svg {{ background: #15191f; }}\n{ink_rules(DARK)}"
    sized = f"<style>{style}@media (prefers-color-scheme: dark) {{ {dark} }}</style>\n"
    return svg_element(picture, sized) + "\n"


def ink_rules(colors: dict[str, str]) -> str:
    """CSS that gives every ink its color."""
    return "".join(f".i-{ink} {{ color: {color}; }}\n" for ink, color in colors.items())


def _element(mark: Mark) -> str:
    match mark:
        case Line():
            dashes = ' stroke-dasharray="4 4"' if mark.dashed else ""
            return _tipped(
                f'<polyline class="i-{mark.ink}" points="{_points(mark.points)}" fill="none" '
                f'stroke="currentColor" stroke-width="{mark.width:g}" stroke-linejoin="round"'
                f"{dashes}",
                "polyline",
                mark.tip,
            )
        case Area():
            return (
                f'<polygon class="i-{mark.ink}" points="{_points(mark.points)}" '
                'fill="currentColor" fill-opacity="0.16"/>'
            )
        case Dot():
            paint = "currentColor" if mark.filled else "none"
            return _tipped(
                f'<circle class="i-{mark.ink}" cx="{mark.x:.1f}" cy="{mark.y:.1f}" '
                f'r="{mark.radius:g}" fill="{paint}" stroke="currentColor" stroke-width="2" '
                'pointer-events="all"',
                "circle",
                mark.tip,
            )
        case Bar():
            return _tipped(
                f'<rect class="i-{mark.ink}" x="{mark.x:.1f}" y="{mark.y:.1f}" '
                f'width="{mark.width:.1f}" height="{mark.height:.1f}" fill="currentColor"',
                "rect",
                mark.tip,
            )
        case Label():
            return _label(mark)


def _label(mark: Label) -> str:
    turn = f' transform="rotate(-90 {mark.x:.1f} {mark.y:.1f})"' if mark.turned else ""
    weight = ' font-weight="600"' if mark.bold else ""
    return (
        f'<text class="i-{mark.ink}" x="{mark.x:.1f}" y="{mark.y:.1f}" fill="currentColor" '
        f'font-size="{mark.size:g}" text-anchor="{mark.anchor}"{weight}{turn}>'
        f"{escape(mark.text)}</text>"
    )


def _tipped(opening: str, name: str, tip: str) -> str:
    return f"{opening}><title>{escape(tip)}</title></{name}>" if tip else f"{opening}/>"


def _points(points: tuple[Point, ...]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
