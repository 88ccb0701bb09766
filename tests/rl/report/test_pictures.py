"""Pictures as files: SVG that parses and escapes, PNG that shows the same; and what they draw."""

from io import BytesIO
from itertools import pairwise
from pathlib import Path
from xml.etree import ElementTree

import pytest
from PIL import Image, ImageColor

from rl.report.anchors import anchors
from rl.report.charts import (
    budget_picture,
    length_picture,
    length_rows,
    strip_picture,
    time_picture,
)
from rl.report.health import spent, strip
from rl.report.marks import DARK, LIGHT, RUN_INKS, Bar, Dot, Label, Line, Mark, Picture, thinned
from rl.report.pareto import measured_picture, pareto_file, relative_picture
from rl.report.png import SCALE, png_bytes
from rl.report.svg import svg_element, svg_file
from tests.rl.report.reported import reported

SVG = "{http://www.w3.org/2000/svg}"


def dots(marks: tuple[Mark, ...], ink: str) -> list[Dot]:
    return [mark for mark in marks if isinstance(mark, Dot) and mark.ink == ink]


def labels(marks: tuple[Mark, ...]) -> set[str]:
    return {mark.text for mark in marks if isinstance(mark, Label)}


def contrast(one: str, other: str) -> float:
    """WCAG 2 contrast ratio of two colors."""

    def light(color: str) -> float:
        parts = [part / 255 for part in ImageColor.getrgb(color)[:3]]
        linear = [p / 12.92 if p <= 0.04045 else ((p + 0.055) / 1.055) ** 2.4 for p in parts]
        return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]

    low, high = sorted((light(one), light(other)))
    return (high + 0.05) / (low + 0.05)


def test_every_ink_has_a_color_on_both_grounds() -> None:
    assert set(LIGHT) == set(DARK) >= {*RUN_INKS, "text", "muted", "grid", "other"}


@pytest.mark.parametrize(("colors", "ground"), [(LIGHT, "#ffffff"), (DARK, "#171b21")])
def test_texts_and_runs_stand_out_from_the_ground(colors: dict[str, str], ground: str) -> None:
    for ink in ("text", "muted", *RUN_INKS):
        assert contrast(colors[ink], ground) >= 4.5, ink


def test_a_hostile_name_is_text_in_the_svg(tmp_path: Path) -> None:
    name = '"><script>alert(1)</script>&'
    marks = (Label(1, 2, name), Dot(1, 2, 3, "a", tip=name))
    root = ElementTree.fromstring(svg_element(Picture(10, 10, name, marks)))
    assert root.get("aria-label") == name
    assert [element.text for element in root.iter(f"{SVG}title")] == [name]
    assert root.find(f".//{SVG}script") is None


def test_svg_and_png_of_a_run_show_the_same_picture(tmp_path: Path) -> None:
    picture = pareto_file([(reported(tmp_path), "a")], anchors())
    root = ElementTree.fromstring(svg_file(picture))
    assert root.get("viewBox") == f"0 0 {picture.width:g} {picture.height:g}"
    image = Image.open(BytesIO(png_bytes(picture)))
    assert image.size == (picture.width * SCALE, picture.height * SCALE)
    after = dots(picture.marks, "a")[-1]
    color = image.convert("RGB").getpixel((round(after.x * SCALE), round(after.y * SCALE)))
    assert color == ImageColor.getrgb(LIGHT["a"])


def test_the_measured_picture_puts_better_runs_up_and_to_the_left(tmp_path: Path) -> None:
    before, after = dots(measured_picture([(reported(tmp_path), "a")]).marks, "a")
    assert not before.filled and after.filled
    assert after.x < before.x and after.y < before.y
    assert after.tip.startswith("run, after (step 30): accuracy 1.000")


def test_published_methods_are_grey_and_called_another_protocol(tmp_path: Path) -> None:
    picture = relative_picture([(reported(tmp_path), "a")], anchors())
    grey = dots(picture.marks, "other")
    assert len(grey) == len(anchors()) and len(dots(picture.marks, "a")) == 1
    assert all("other protocol" in dot.tip for dot in grey)
    assert "other protocol" in picture.name
    assert {"AES 0", "AES 1", "this run"} <= labels(picture.marks)


def test_a_line_of_equal_aes_goes_through_the_base_and_bends_there(tmp_path: Path) -> None:
    picture = relative_picture([(reported(tmp_path), "a")], anchors())
    (base,) = dots(picture.marks, "muted")
    lines = [m for m in picture.marks if isinstance(m, Line) and m.dashed]
    zero = lines[0].points
    assert (base.x, base.y) == pytest.approx(zero[1])
    # Above the base's accuracy a point is worth three, below it costs five.
    (x0, y0), (x1, y1), (x2, y2) = zero
    assert ((y0 - y1) / (x1 - x0)) / ((y1 - y2) / (x2 - x1)) == pytest.approx(3 / 5)


def test_runs_side_by_side_are_named_below_in_their_colors(tmp_path: Path) -> None:
    runs = [(reported(tmp_path, "one"), "a"), (reported(tmp_path, "two", finished=False), "b")]
    assert {"one", "two"} <= labels(measured_picture(runs).marks)


def test_a_run_without_training_steps_is_drawn_before_alone(tmp_path: Path) -> None:
    run = reported(tmp_path, finished=False)
    assert [dot.filled for dot in dots(measured_picture([(run, "a")]).marks, "a")] == [False]
    assert dots(relative_picture([(run, "a")], anchors()).marks, "a") == []


def test_the_budget_curve_ends_at_the_accuracy(tmp_path: Path) -> None:
    run = reported(tmp_path)
    assert run.before
    picture = budget_picture([("before", "a", True, run.before.curve)])
    assert dots(picture.marks, "a")[-1].tip.startswith("before, budget 16: 0.750")


def test_length_has_rows_by_correctness_and_level_and_leaves_out_what_is_undefined(
    tmp_path: Path,
) -> None:
    run = reported(tmp_path)
    rows = {name: (old, new) for name, old, new in length_rows(run.before, run.after)}
    assert list(rows) == ["all answers", "right", "wrong", "level 2", "level 10"]
    old, new = rows["wrong"]
    assert old and old.value == 16 and new is None
    assert len(dots(length_picture(length_rows(run.before, run.after), "a").marks, "a")) == 4


def test_an_alarm_is_a_red_line_in_the_strip(tmp_path: Path) -> None:
    series = strip(reported(tmp_path).steps)[0]
    marks = strip_picture(series, "a", alarmed=[3]).marks
    assert [mark.ink for mark in marks if isinstance(mark, Line)] == ["grid", "bad", "a"]


def test_a_long_curve_is_thinned_to_means() -> None:
    assert thinned([(1, 1), (2, 3), (3, 5), (4, 7)], 2) == [(1.5, 2), (3.5, 6)]
    assert thinned([], 2) == []


def test_bars_of_the_seconds_stand_on_each_other(tmp_path: Path) -> None:
    picture = time_picture(spent(reported(tmp_path).metrics, None))
    first = [m for m in picture.marks if isinstance(m, Bar)][::3]
    for below, above in pairwise(first):
        assert above.y + above.height == pytest.approx(below.y)
