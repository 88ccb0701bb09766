import pytest

from scripts.markdown import table
from scripts.non_inferior import MARGIN
from scripts.staleness import HEADER, Run, beside, cells, settings
from tests.scripts.outcomes import outcomes


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


def test_a_setting_is_non_inferior_above_the_margin() -> None:
    base = [0.9] * 40
    runs = [run(0, seed, base) for seed in (0, 1)]
    runs += [run(1, seed, base, seconds=0.5) for seed in (0, 1)]
    runs += [run(2, seed, [0.8] * 40) for seed in (0, 1)]
    synchronous, one, two = settings(runs)
    assert synchronous.change is None and synchronous.non_inferior is None
    assert (one.change, one.non_inferior, one.step_seconds) == (0.0, True, 0.5)
    assert [each.synchronous for each in (synchronous, one, two)] == pytest.approx([0.9] * 3)
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
