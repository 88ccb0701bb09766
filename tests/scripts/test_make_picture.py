import json
import re
from typing import Any
from xml.etree import ElementTree

from scripts.make_picture import LAB, PICTURE, picture

SVG = "{http://www.w3.org/2000/svg}"


def run(seed: int, accuracy: float, tokens: float, variant: str = "") -> dict[str, Any]:
    return {
        "lab": "short",
        "method": "quickstart",
        "variant": variant,
        "seed": seed,
        "accuracy": accuracy,
        "response_tokens": tokens,
        "base_accuracy": 0.9,
        "base_response_tokens": 100.0,
    }


def test_picture_is_what_the_recorded_runs_say() -> None:
    assert PICTURE.read_text() == picture(json.loads(LAB.read_text()))


def test_every_run_is_a_ring_and_a_dot_in_the_color_of_its_variant() -> None:
    rows = [run(0, 0.95, 40), run(1, 0.96, 50), run(0, 0.97, 90, "no_length_term")]
    root = ElementTree.fromstring(picture(rows))
    circles = [circle.get("class") for circle in root.iter(f"{SVG}circle")]
    assert sorted(circles) == ["after a"] * 2 + ["after b"] + ["before a"] * 2 + ["before b"]
    names = [text.text for text in root.iter(f"{SVG}text") if "name" in text.get("class", "")]
    assert names == ["quickstart", "no length term"]


def test_better_is_higher_and_shorter_is_further_left() -> None:
    root = ElementTree.fromstring(picture([run(0, 0.95, 40)]))
    before, after = root.iter(f"{SVG}circle")
    assert float(after.get("cx", "")) < float(before.get("cx", ""))
    assert float(after.get("cy", "")) < float(before.get("cy", ""))


def test_rows_of_other_methods_are_not_drawn() -> None:
    other = {**run(0, 0.95, 40), "method": "palu"}
    assert picture([other]) == picture([])


def test_marks_stay_inside_the_picture() -> None:
    root = ElementTree.fromstring(picture([run(0, 0.31, 140), run(1, 1.0, 1)]))
    width, height = map(float, root.get("viewBox", "").split()[2:])
    for circle in root.iter(f"{SVG}circle"):
        assert 0 < float(circle.get("cx", "")) < width
        assert 0 < float(circle.get("cy", "")) < height


def test_dark_pages_have_their_own_colors() -> None:
    style = ElementTree.fromstring(picture([])).findtext(f"{SVG}style") or ""
    light, dark = style.split("prefers-color-scheme: dark")
    assert set(re.findall(r"\.([a-d]) ", light)) == set(re.findall(r"\.([a-d]) ", dark))
