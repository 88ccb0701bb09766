"""A picture as PNG, drawn by Pillow on white ground: for slides and for pages without SVG."""

from io import BytesIO
from itertools import pairwise
from math import hypot

from PIL import Image, ImageColor, ImageDraw, ImageFont

from rl.report.marks import LIGHT, Area, Bar, Dot, Label, Line, Mark, Picture, Point

SCALE = 2
"""Pixels of the file per pixel of the picture."""

SMOOTHING = 2
"""Drawn this many times larger than the file, then reduced: Pillow's lines have no soft edges."""

DASH = 4.0
GROUND = "#ffffff"


def png_bytes(picture: Picture) -> bytes:
    """The picture as a PNG file."""
    zoom = SCALE * SMOOTHING
    size = (round(picture.width * zoom), round(picture.height * zoom))
    image = Image.new("RGB", size, GROUND)
    for mark in picture.marks:
        _draw(image, mark, zoom)
    small = image.resize((size[0] // SMOOTHING, size[1] // SMOOTHING), Image.Resampling.LANCZOS)
    file = BytesIO()
    small.save(file, "PNG", optimize=True)
    return file.getvalue()


def _draw(image: Image.Image, mark: Mark, zoom: int) -> None:
    pen, color = ImageDraw.Draw(image), LIGHT[mark.ink]
    match mark:
        case Line():
            pieces = _dashes(mark.points) if mark.dashed else [mark.points]
            for piece in pieces:
                pen.line(_scaled(piece, zoom), color, round(mark.width * zoom), joint="curve")
        case Area():
            # Without a layer of its own: the color that 16 % of the ink leave on white.
            pen.polygon(_scaled(mark.points, zoom), _faint(color))
        case Dot():
            reach = mark.radius + 1
            box = [((mark.x + side * reach) * zoom, (mark.y + side * reach) * zoom)
                   for side in (-1, 1)]  # fmt: skip
            pen.ellipse(box, fill=color if mark.filled else None, outline=color, width=2 * zoom)
        case Bar():
            ends = (mark.x + mark.width, mark.y + mark.height)
            pen.rectangle(_scaled(((mark.x, mark.y), ends), zoom), fill=color)
        case Label():
            _write(image, mark, color, zoom)


def _write(image: Image.Image, mark: Label, color: str, zoom: int) -> None:
    font = ImageFont.load_default(mark.size * zoom)
    side = {"start": "l", "middle": "m", "end": "r"}[mark.anchor]
    place = (mark.x * zoom, mark.y * zoom)
    stroke = zoom / 6 if mark.bold else 0
    if not mark.turned:
        pen = ImageDraw.Draw(image)
        pen.text(place, mark.text, color, font, anchor=f"{side}s", stroke_width=stroke)
        return
    width, height = round(font.getlength(mark.text)), round(mark.size * zoom * 1.4)
    strip = Image.new("RGB", (width, height), GROUND)
    ImageDraw.Draw(strip).text((0, round(mark.size * zoom)), mark.text, color, font, anchor="ls")
    before = {"start": width, "middle": width // 2, "end": 0}[mark.anchor]
    corner = (round(place[0] - mark.size * zoom), round(place[1]) - before)
    image.paste(strip.rotate(90, expand=True), corner)


def _scaled(points: tuple[Point, ...], zoom: int) -> list[Point]:
    return [(x * zoom, y * zoom) for x, y in points]


def _faint(color: str) -> tuple[int, ...]:
    return tuple(round(255 - 0.16 * (255 - part)) for part in ImageColor.getrgb(color))


def _dashes(points: tuple[Point, ...]) -> list[tuple[Point, ...]]:
    """Every other piece of `DASH` pixels of the line."""
    pieces: list[tuple[Point, ...]] = []
    for (x1, y1), (x2, y2) in pairwise(points):
        length = hypot(x2 - x1, y2 - y1)
        for index in range(0, int(length // DASH) + 1, 2):
            start = index * DASH / length if length else 0.0
            stop = min(1.0, (index + 1) * DASH / length) if length else 0.0
            ends = ((x1 + at * (x2 - x1), y1 + at * (y2 - y1)) for at in (start, stop))
            pieces.append(tuple(ends))
    return pieces
