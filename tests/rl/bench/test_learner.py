"""A small run of the benchmark, with real processes: what it says, not how fast."""

import json
from dataclasses import replace
from pathlib import Path

import pytest

from rl.bench import learner
from rl.bench.learner import Measured, check_gradients, described, make_setting
from rl.bench.learner_ours import rows_of
from rl.bench.minibatch import (
    fixed_lengths,
    make_minibatch,
    natural_lengths,
    rows_at_once,
)


def test_a_fifth_of_natural_lengths_is_beyond_three_medians() -> None:
    """Of 1001 lengths the 501st is the median."""
    lengths = natural_lengths(10**6, 1001)
    assert lengths == tuple(sorted(lengths)) and lengths[-1] == 10**6
    assert sum(length > 3 * lengths[500] for length in lengths) == 200


def test_worked_example_of_natural_lengths() -> None:
    """Quantiles of 1/4 and 3/4 are -+0.6745; exp(-1.3054 * 1.349) = 0.1719."""
    assert natural_lengths(1000, 2) == (172, 1000)
    assert fixed_lengths(1000, 2) == (1000, 1000)


def test_rows_of_a_group_follow_each_other_and_their_advantages_sum_to_zero(tmp_path: Path) -> None:
    setting = make_setting(natural_lengths(40, 32), 1, tmp_path)
    rows = rows_of(make_minibatch(setting), setting.group_size)
    assert [row.group for row in rows] == [number // 8 for number in range(32)]
    assert sorted(row.num_trained for row in rows) == list(setting.lengths)
    assert sum(row.num_tokens for row in rows) == setting.num_tokens
    for number in range(4):
        advantages = [row.advantages[0] for row in rows if row.group == number]
        assert sum(advantages) == pytest.approx(0.0, abs=1e-5) and max(advantages) > 0.1


@pytest.mark.parametrize(("longest", "rows"), [(128, 32), (960, 16), (961, 8), (20_000, 1)])
def test_rows_of_a_forward_pass_keep_to_its_limit(longest: int, rows: int, tmp_path: Path) -> None:
    """16384 tokens hold 16 rows of 64 + 960."""
    assert rows_at_once(make_setting(fixed_lengths(longest, 32), 1, tmp_path)) == rows


def test_contenders_that_do_not_do_the_same_are_not_compared() -> None:
    one = Measured(seconds=[1.0], peak_bytes=2 * 10**6, grad_norm=0.5)
    check_gradients([one, replace(one, grad_norm=0.5001)])
    with pytest.raises(RuntimeError, match=r"gradients differ \(norms \[0.5, 0.51\]\)"):
        check_gradients([one, replace(one, grad_norm=0.51)])


def test_row_is_tokens_over_seconds_and_the_worst_peak(tmp_path: Path) -> None:
    setting = make_setting((36, 136), 3, tmp_path)
    ours = Measured(seconds=[2.0, 3.0, 7.0], peak_bytes=2 * 10**6, grad_norm=0.5)
    theirs = [replace(ours, seconds=[10.0]), replace(ours, seconds=[5.0], peak_bytes=8 * 10**6)]
    assert described(setting, [ours], theirs) == {
        "mean_length": 86.0,
        "ours_tokens_per_second": [100],
        "theirs_tokens_per_second": [30, 60],
        "ours_peak_megabytes": 2,
        "theirs_peak_megabytes": 8,
        "peak_memory_ratio": 0.25,
    }


@pytest.mark.long
def test_both_contenders_take_the_same_step(monkeypatch: pytest.MonkeyPatch) -> None:
    """Two real processes on 32 rows of at most 24 tokens: their gradients agree."""
    monkeypatch.setattr(learner, "LONGEST", (24,))
    result = learner.run("trl", "natural", "2048", rounds=2, updates=1)
    row = result.extra["by_length"]["24"]
    assert result.low <= result.ratio <= result.high and row["peak_memory_ratio"] > 0
    assert len(row["ours_tokens_per_second"]) == len(row["theirs_tokens_per_second"]) == 2
    json.dumps(result.extra)
