import numpy as np
import pytest

from rl.evaluate.outcomes import Outcomes
from scripts.markdown import table
from scripts.staleness import (
    HEADER,
    MARGIN,
    Run,
    accuracy_changes,
    beside,
    cells,
    change_and_bound,
    settings,
)


def outcomes(accuracies: list[float]) -> Outcomes:
    """Ten samples of each problem, as many of them right."""
    correct = np.array([[float(k < 10 * a) for k in range(10)] for a in accuracies])
    return Outcomes(
        problems=tuple(f"p{number}" for number in range(len(accuracies))),
        levels=(None,) * len(accuracies),
        correct=correct,
        tokens=np.ones_like(correct),
        truncated=np.zeros(correct.shape, bool),
    )


def run(staleness: int, seed: int, accuracies: list[float], seconds: float = 1.0) -> Run:
    return Run(
        learning_rate=1e-4,
        staleness=staleness,
        correction="truncated",
        seed=seed,
        outcomes=outcomes(accuracies),
        step_seconds=seconds,
        learn_seconds=seconds / 2,
        step_tokens=100.0,
        commit="c",
    )


def test_changes_are_paired_by_problem() -> None:
    assert accuracy_changes(outcomes([0.5, 1.0]), outcomes([0.7, 0.8])) == pytest.approx(
        [-0.2, 0.2]
    )


def test_a_change_without_spread_is_its_own_bound() -> None:
    assert change_and_bound([np.full(50, -0.1), np.full(50, -0.1)]) == pytest.approx((-0.1, -0.1))


def test_the_bound_holds_the_spread_of_problems_and_of_seeds() -> None:
    """Normal changes of sd 0.3 on 400 problems: sd of a mean 0.015, its 5 % quantile -0.0247."""
    rng = np.random.default_rng(0)
    one_seed = rng.normal(0, 0.3, 400)
    change, bound = change_and_bound([one_seed - one_seed.mean()])
    assert change == pytest.approx(0, abs=1e-12) and bound == pytest.approx(-0.0247, abs=0.002)
    # Seeds 0.1 apart: three draws of them are the lowest alone with chance 1/27, and 4/27 at or
    # below a third of the way up.
    seeds = [np.full(400, change) for change in (-0.1, 0.0, 0.1)]
    assert change_and_bound(seeds)[1] == pytest.approx(-0.2 / 3, abs=1e-9)


def test_a_setting_is_non_inferior_above_the_margin() -> None:
    base = [0.9] * 40
    runs = [run(0, seed, base) for seed in (0, 1)]
    runs += [run(1, seed, base, seconds=0.5) for seed in (0, 1)]
    runs += [run(2, seed, [0.8] * 40) for seed in (0, 1)]
    synchronous, one, two = settings(runs)
    assert synchronous.change is None and synchronous.non_inferior is None
    assert (one.change, one.non_inferior, one.step_seconds) == (0.0, True, 0.5)
    assert two.change == pytest.approx(-0.1) and two.bound is not None
    assert two.bound < -MARGIN and two.non_inferior is False
    assert (
        table(HEADER, [cells(two)])
        .splitlines()[-1]
        .startswith("| 0.0001 | 2 | truncated | 0, 1 | 0.800 | -0.100 |")
    )


def test_a_seed_without_a_synchronous_run_is_named() -> None:
    with pytest.raises(ValueError, match=r"no synchronous run of .* \[\(0.0001, 3\)\]"):
        settings([run(0, 0, [1.0]), run(1, 3, [1.0])])


def test_rows_of_other_settings_stay_and_those_measured_anew_are_replaced() -> None:
    def row(rate: float, staleness: int, correction: str, change: float) -> dict[str, object]:
        setting = {"learning_rate": rate, "staleness": staleness, "correction": correction}
        return setting | {"change": change}

    stored = [row(2.0, 1, "none", 0.0), row(2.0, 1, "truncated", 0.0)]
    found = [row(2.0, 1, "truncated", 1.0), row(1.0, 1, "truncated", 1.0)]
    assert beside(stored, found) == [found[1], stored[0], found[0]]
