import numpy as np
import pytest

from scripts.markdown import table
from scripts.non_inferior import HEADER, Run, accuracy_changes, cells, change_and_bound, rows
from tests.scripts.outcomes import outcomes


def run(variant: str, seed: int, accuracies: list[float], tokens: float) -> Run:
    return Run(
        variant=variant,
        seed=seed,
        outcomes=outcomes(accuracies),
        tokens=tokens,
        seconds=2 * tokens,
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


def test_a_variant_is_told_by_its_change_and_by_what_it_sampled() -> None:
    base, worse = [0.9] * 40, [0.8] * 40
    runs = [run("full", seed, base, 100.0) for seed in (0, 1)]
    runs += [run("same", seed, base, 50.0) for seed in (0, 1)]
    runs += [run("worse", seed, worse, 200.0) for seed in (0, 1)]
    lines = table(HEADER, map(cells, rows(runs, "full"))).splitlines()[-3:]
    assert lines == [
        "| full | 0, 1 | 0.900 | - | - | - | 1.0 | - | - |",
        "| same | 0, 1 | 0.900 | +0.000 | +0.000 | yes | 1.0 | 0.50 [0.50, 0.50] "
        "| 0.50 [0.50, 0.50] |",
        "| worse | 0, 1 | 0.800 | -0.100 | -0.100 | **no** | 1.0 | 2.00 [2.00, 2.00] "
        "| 2.00 [2.00, 2.00] |",
    ]


def test_a_seed_that_the_rival_lacks_is_named() -> None:
    with pytest.raises(ValueError, match=r"no run of full with seeds \[1\]"):
        rows([run("full", 0, [0.9], 1.0), run("other", 1, [0.9], 1.0)], "full")
