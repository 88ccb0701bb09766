import pytest

from scripts.markdown import table
from scripts.time_to_accuracy import (
    HEADER,
    Run,
    cells,
    curve,
    late_explained_variance,
    rows,
    seconds_until,
)


def run(variant: str, seed: int, seconds: list[float], accuracies: list[float]) -> Run:
    return Run(
        variant=variant,
        seed=seed,
        seconds=tuple(seconds),
        accuracies=tuple(accuracies),
        explained_variance=0.5,
        commit="c",
    )


def test_an_evaluation_counts_from_its_end_on_and_the_one_before_training_does_not():
    metrics = [
        {"step": 0, "eval/accuracy": 0.5, "time/evaluate": 9.0},
        {"step": 1, "step_time": 2.0, "critic/vf_explained_var": 0.1},
        {"step": 2, "step_time": 3.0, "critic/vf_explained_var": 0.4},
        {"step": 2, "eval/accuracy": 0.7, "time/evaluate": 9.0},
        {"step": 3, "step_time": 1.0},
        {"step": 3, "eval/accuracy": 0.8, "time/evaluate": 9.0},
    ]
    assert curve(metrics) == ((0.0, 5.0, 15.0), (0.5, 0.7, 0.8))
    assert curve(metrics[:1]) == ((0.0,), (0.5,))
    assert late_explained_variance(metrics) == 0.4
    assert late_explained_variance(metrics[:1]) is None


def test_the_first_crossing_counts_on_a_straight_line_between_evaluations():
    dips = run("a", 0, [0, 10, 20, 30], [0.4, 0.8, 0.5, 0.9])
    assert seconds_until(dips, 0.6) == pytest.approx(5.0)
    assert seconds_until(dips, 0.85) == pytest.approx(20 + 10 * 0.35 / 0.4)
    assert seconds_until(dips, 0.4) == 0.0
    assert seconds_until(dips, 0.95) is None


def test_speedup_is_the_rivals_seconds_over_ours_by_seed():
    runs = [
        run("slow", 0, [0, 20], [0.0, 1.0]),
        run("slow", 1, [0, 40], [0.0, 1.0]),
        run("fast", 0, [0, 10], [0.0, 1.0]),
        run("fast", 1, [0, 20], [0.0, 1.0]),
    ]
    slow, fast = rows(runs, 0.5, "slow")
    assert (slow.variant, slow.seconds, slow.speedup) == ("slow", [10.0, 20.0], None)
    assert fast.seconds == [5.0, 10.0] and fast.speedup == pytest.approx([2.0, 2.0, 2.0])
    assert (
        table(HEADER, map(cells, [slow, fast])).splitlines()[-1]
        == "| fast | 5, 10 | 2.00 [2.00, 2.00] | 1.000 | 0.50 |"
    )


def test_a_seed_that_never_got_there_is_told_and_not_averaged():
    runs = [
        run("slow", 0, [0, 20], [0.0, 1.0]),
        run("slow", 1, [0, 20], [0.0, 1.0]),
        run("fast", 0, [0, 10], [0.0, 1.0]),
        run("fast", 1, [0, 10], [0.0, 0.4]),
    ]
    fast = rows(runs, 0.5, "slow")[1]
    assert fast.seconds == [5.0, None] and fast.speedup is None
    assert "not reached" in cells(fast)[1]


def test_a_rival_without_runs_is_named():
    with pytest.raises(ValueError, match="--rival ppo: there are runs of tppo"):
        rows([run("tppo", 0, [0], [0.1])], 0.5, "ppo")
