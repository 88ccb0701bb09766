import pytest

from rl.evaluate.figures import Estimate
from rl.report import words


@pytest.mark.parametrize(
    ("value", "spec", "text"),
    [
        (-0.04, ".1f", "0.0"),
        (-0.04, "+.1f", "+0.0"),
        (-0.06, "+.1f", "\N{MINUS SIGN}0.1"),
        (2.25, "+.2f", "+2.25"),
        (float("-inf"), ".1f", "\N{MINUS SIGN}inf"),
    ],
)
def test_a_number_has_a_real_minus_and_zero_has_none(value: float, spec: str, text: str) -> None:
    assert words.number(value, spec) == text


def test_an_estimate_shows_its_interval_and_an_undefined_one_a_dash() -> None:
    assert words.estimate(Estimate(0.5, 0.25, 0.75), ".1f", 100) == "50.0 [25.0, 75.0]"
    assert words.estimate(None) == "-"


def test_a_ratio_becomes_a_change_in_per_cent() -> None:
    assert words.share_change(Estimate(0.25, 0.5, 1.5)) == Estimate(-75.0, -50.0, 50.0)


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0.04, "0.0 s"),
        (42.4, "42 s"),
        (59.6, "1 min 0 s"),
        (185, "3 min 5 s"),
        (7800, "2 h 10 min"),
    ],
)
def test_durations_are_in_the_unit_that_people_say(seconds: float, text: str) -> None:
    assert words.duration(seconds) == text


def test_control_characters_of_a_text_become_visible() -> None:
    assert words.visible("a\x00b\x1b[31m\n\tc") == "a\u2400b\u241b[31m\n\tc"
