import math
import random

import pytest

from rl.bench.bench import alternate, paired_ratio


def test_worked_example_of_the_interval():
    """Log-ratios log 2 and log 8: mean log 4, deviation log 4 / sqrt 2, t(1) = 12.706."""
    ratio, low, high = paired_ratio([2.0, 8.0], [1.0, 1.0])
    half = 12.706 * (math.log(4) / math.sqrt(2)) / math.sqrt(2)
    assert ratio == pytest.approx(4.0)
    assert (low, high) == pytest.approx((4 * math.exp(-half), 4 * math.exp(half)))


def test_swapping_the_contenders_inverts_the_ratio():
    ours, theirs = [3.0, 4.0, 5.0], [2.0, 2.5, 2.2]
    ratio, low, high = paired_ratio(ours, theirs)
    assert paired_ratio(theirs, ours) == pytest.approx((1 / ratio, 1 / high, 1 / low))


def test_a_machine_that_slows_both_alike_changes_nothing():
    assert paired_ratio([3.0, 0.3], [2.0, 0.2]) == pytest.approx((1.5, 1.5, 1.5))


def test_the_interval_covers_the_truth_in_95_percent_of_runs():
    draw = random.Random(0)
    hits = 0
    for _ in range(2000):
        ours = [1.5 * math.exp(draw.gauss(0, 0.1)) for _ in range(6)]
        _, low, high = paired_ratio(ours, [1.0] * 6)
        hits += low <= 1.5 <= high
    assert hits / 2000 == pytest.approx(0.95, abs=0.015)


def test_one_round_gives_no_interval():
    with pytest.raises(ValueError, match="two or more"):
        paired_ratio([1.0], [1.0])


def test_contenders_take_turns_at_going_first_and_the_warm_up_is_not_counted():
    calls = []

    def contender(name):
        def figure(number):
            calls.append((name, number))
            return float(number)

        return figure

    assert alternate(contender("ours"), contender("theirs"), 2) == ([1.0, 2.0], [1.0, 2.0])
    assert calls == [
        ("theirs", 0), ("ours", 0), ("ours", 1), ("theirs", 1), ("theirs", 2), ("ours", 2),
    ]  # fmt: skip
