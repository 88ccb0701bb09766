from math import nan
from pathlib import Path

import pytest

from rl.report.health import STRIP, alarms, bucketed, spent, strip
from rl.run.metrics import METRICS
from tests.rl.report.reported import reported


def test_the_strip_names_only_metrics_that_a_run_may_log() -> None:
    assert set(STRIP) <= set(METRICS)


def test_the_strip_shows_what_was_logged_without_undefined_values() -> None:
    rows = [{"step": 1.0, "entropy": 0.4}, {"step": 2.0, "entropy": nan, "kl": nan}]
    (series,) = strip(rows)
    assert (series.name, series.curve, series.unit) == ("entropy", [(1.0, 0.4)], "nats")


def test_a_peak_between_the_ends_is_named_and_one_at_an_end_is_not() -> None:
    def peak(*values: float) -> float | None:
        (series,) = strip([{"step": float(i), "kl": value} for i, value in enumerate(values)])
        return series.peak

    assert peak(0.0, 0.5, 0.0) == 0.5
    assert peak(0.0, 0.5) is peak(0.5, 0.1, 0.5) is None


def test_alarms_come_with_their_steps_cause_and_cure(tmp_path: Path) -> None:
    (alarm,) = alarms(reported(tmp_path).steps)
    assert (alarm.guard, alarm.steps) == ("zero_variance", [3])
    assert "too easy or all too hard" in alarm.cause
    assert "algorithm.dynamic_sampling=true" in alarm.cure


def test_seconds_are_split_into_parts_and_what_they_leave(tmp_path: Path) -> None:
    found = spent(reported(tmp_path).metrics, wall=20.0)
    assert found.steps == [1, 2, 3]
    assert found.totals == {"rollout": 6.0, "score": 1.5, "learn": 3.0, "sync": 0.75, "rest": 0.75}


def test_a_run_without_steps_spent_nothing() -> None:
    found = spent([{"step": 0.0, "time/evaluate": 2.5}], wall=None)
    assert (found.steps, found.evaluation) == ([], 2.5)
    assert sum(found.totals.values()) == 0


def test_long_runs_are_drawn_as_means_of_neighbours() -> None:
    assert bucketed([1.0, 3.0, 5.0, 7.0, 9.0], 3) == pytest.approx([2.0, 6.0, 9.0])
    assert bucketed([], 3) == []
