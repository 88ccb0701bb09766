"""The papers' own printed means are recomputed from the benchmarks, so that no cell is mistyped."""

import pytest

from rl.report.anchors import TABLES, anchors

BY_NAME = {anchor.method: anchor for anchor in anchors()}
PALU_TABLE_2 = {
    "Kimi k1.5": (35.0, 4050, -0.871),
    "cosine": (46.8, 6798, 0.249),
    "L1-Max": (48.5, 3215, 0.451),
    "O1-Pruner": (45.9, 4829, 0.193),
    "ShorterBetter": (41.1, 2211, -0.038),
    "ThinkPrune": (51.2, 4877, 0.677),
    "ALP": (53.4, 3979, 0.951),
    "PALU": (56.2, 3537, 1.139),
}


@pytest.mark.parametrize("method", PALU_TABLE_2)
def test_palu_table_2_prints_the_means_of_its_benchmarks(method: str) -> None:
    accuracy, tokens, aes = PALU_TABLE_2[method]
    found = BY_NAME[method]
    # The paper cuts off or rounds its means; half a unit and a little hold both.
    assert found.accuracy * 100 == pytest.approx(accuracy, abs=0.11)
    assert found.response_tokens == pytest.approx(tokens, abs=1.1)
    assert found.aes == pytest.approx(aes, abs=0.002)


@pytest.mark.parametrize(("method", "tokens"), [("DLER", 2466), ("DA-DLER", 2106)])
def test_dler_table_1_prints_the_mean_of_its_tokens(method: str, tokens: float) -> None:
    assert BY_NAME[method].response_tokens == pytest.approx(tokens, abs=0.6)


def test_every_method_has_a_cell_per_benchmark_of_its_base() -> None:
    for table in TABLES:
        for cells in (table.base, *table.methods.values()):
            assert len(cells) == len(table.benchmarks)


def test_a_method_is_measured_against_the_base_of_its_own_table() -> None:
    dot = BY_NAME["DOT-4K"]
    assert dot.accuracy == pytest.approx((43.1 + 29.2 + 77.5 + 89.2) / 400)
    assert dot.token_ratio == pytest.approx(
        (3342 + 2979 + 2281 + 1249) / (15498 + 15604 + 10316 + 5483)
    )
    assert dot.accuracy_change == pytest.approx(239.0 / 201.6 - 1)
