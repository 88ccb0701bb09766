from typing import Any

import pytest

from scripts.make_results import (
    LAB,
    RESULTS,
    SIGNATURES,
    add,
    interval,
    read_rows,
    results_page,
    row_of,
    rows_text,
)

BEFORE = {
    "accuracy": 0.8,
    "response_tokens": 100.0,
    "accuracy_greedy": 0.9,
    "response_tokens_greedy": 80.0,
}
KEYS = (
    "method lab variant seed lab_version steps accuracy response_tokens accuracy_greedy "
    "response_tokens_greedy base_accuracy base_response_tokens base_accuracy_greedy "
    "base_response_tokens_greedy aes wall_s commit code_hash command"
)


def summary(seed: int, accuracy: float, tokens: float, **changes: Any) -> dict[str, Any]:
    return {
        "recipe": "quickstart",
        "engine": "vllm 0.32.0",
        "lab_version": "1",
        "commit": "0123456789abcdef0123456789abcdef01234567",
        "seed": seed,
        "steps": 30,
        "wall_s": 200.0,
        "base": BEFORE,
        "final": {**BEFORE, "accuracy": accuracy, "response_tokens": tokens},
    } | changes


def row(seed: int, accuracy: float, tokens: float, variant: str = "") -> dict[str, Any]:
    return row_of(summary(seed, accuracy, tokens), "short", variant, "make train", "0" * 12)


def test_results_page_is_what_the_recorded_runs_say() -> None:
    assert RESULTS.read_text() == results_page(read_rows(LAB), read_rows(SIGNATURES))


def test_recorded_runs_are_stored_in_the_order_of_the_tables() -> None:
    assert LAB.read_text() == rows_text(read_rows(LAB))


def test_a_row_has_the_promised_keys_and_the_aes_of_its_figures() -> None:
    made = row(0, 0.84, 50.0)
    assert list(made) == KEYS.split()
    assert made["aes"] == pytest.approx(0.5 + 3 * 0.05)
    assert (made["base_response_tokens"], made["response_tokens"]) == (100.0, 50.0)


def test_a_run_without_evaluation_makes_no_row() -> None:
    with pytest.raises(ValueError, match="not evaluated before and after"):
        row_of(summary(0, 0.9, 50.0, base=None), "short", "", "make train", "0" * 12)


def test_a_seed_is_not_replaced() -> None:
    rows = add([], row(0, 0.84, 50.0))
    with pytest.raises(ValueError, match="seed 0 on the short lab is in"):
        add(rows, row(0, 0.9, 40.0))
    assert len(add(rows, row(0, 0.9, 40.0, variant="no_length_term"))) == 2


def test_rows_of_different_labs_do_not_mix() -> None:
    changed = row_of(summary(1, 0.9, 50.0, lab_version="2"), "short", "", "make train", "0" * 12)
    with pytest.raises(ValueError, match="a changed lab empties"):
        add([row(0, 0.84, 50.0)], changed)


def test_interval_is_students_over_seeds() -> None:
    assert interval([1.0, 2.0, 3.0]) == pytest.approx((2.0, 2 - 4.303 / 3**0.5, 2 + 4.303 / 3**0.5))
    assert interval([5.0])[0] == 5.0


def test_page_shows_means_with_their_interval_and_every_run() -> None:
    page = results_page([row(1, 0.86, 48.0), row(0, 0.84, 52.0), row(2, 0.85, 50.0)])
    mean_row = next(line for line in page.splitlines() if "0, 1, 2" in line)
    assert "0.800 -> 0.850 [0.825, 0.875]" in mean_row
    assert "100.0 -> 50.0 [45.0, 55.0]" in mean_row
    assert "0.50 [0.45, 0.55]" in mean_row
    assert page.count("0123456789 | `make train`") == 3


def test_page_does_not_depend_on_the_order_of_rows() -> None:
    rows = [row(seed, 0.8 + seed / 50, 50.0, variant) for seed in (0, 1) for variant in ("", "x")]
    assert results_page(rows) == results_page(rows[::-1])


def of(method: str, seed: int, accuracy: float, tokens: float, variant: str = "") -> dict[str, Any]:
    made = summary(seed, accuracy, tokens, recipe=method)
    return row_of(made, "short", variant, "make train", "0" * 12)


def test_methods_are_compared_with_the_controls_seed_by_seed() -> None:
    rows = [of("grpo", seed, 0.9, 50.0 + seed) for seed in (0, 1)]
    rows += [of("constant_cap", seed, 0.9, 40.0) for seed in (0, 1)]
    rows += [of("constant_cap", seed, 0.7, 20.0, "cap_16") for seed in (0, 1)]
    rows += [of("kimi", seed, 0.92, 30.0 + seed) for seed in (0, 1)]
    page = results_page(rows)
    assert "the highest AES (`constant_cap`)" in page, "the shorter cap costs 20 points"
    assert (
        "| kimi |  | 0, 1 | -20.0 [-20.0, -20.0] | +0.020 [+0.020, +0.020] "
        "| -9.5 [-15.9, -3.1] | +0.020 [+0.020, +0.020] |"
    ) in page


def test_without_a_control_nothing_is_compared() -> None:
    assert "Against the controls" not in results_page([of("kimi", 0, 0.92, 30.0)])


def test_a_missed_signature_is_shown() -> None:
    missed = {
        "claim": "effort: tokens",
        "seed": 1,
        "value": 0.9,
        "low": None,
        "high": None,
        "wanted": "above 1",
        "met": False,
    }
    page = results_page([of("effort", 1, 0.92, 30.0)], [missed])
    assert "| effort: tokens | 1 | 0.900 | above 1 | **no** |" in page
