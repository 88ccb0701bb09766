"""What is said of options that have a least value."""

import math
from types import SimpleNamespace

import pytest

from data.bounds import too_small

OPTIONS = SimpleNamespace(steps=2, share=0.0)


def test_options_at_their_least_are_large_enough() -> None:
    assert too_small("log", OPTIONS, steps=2, share=0) == []


def test_each_option_below_its_least_is_named_with_what_to_set() -> None:
    assert too_small("log", OPTIONS, steps=3, share=0.5) == [
        "log.steps=2: set it to 3 or more",
        "log.share=0.0: set it to 0.5 or more",
    ]


@pytest.mark.parametrize(("value", "is_fine"), [(math.nan, False), (math.inf, True)])
def test_what_is_not_a_number_is_not_large_enough(value: float, is_fine: bool) -> None:
    assert (too_small("log", SimpleNamespace(share=value), share=0) == []) == is_fine
