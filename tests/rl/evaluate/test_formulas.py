from itertools import combinations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.evaluate.formulas import (
    accuracy_efficiency_score,
    bootstrap_draws,
    bootstrap_interval,
    budget_bias,
    budget_error,
    correct_within,
    pass_at_k,
    percentile_interval,
    resampled_ratio,
    share_within_budget,
)


@pytest.mark.parametrize(
    ("num_correct", "chance"), [(0, 0.0), (1, 0.25), (4, 0.728), (8, 0.9615), (16, 1.0)]
)
def test_pass_at_4_of_16_samples(num_correct: int, chance: float) -> None:
    assert pass_at_k(16, num_correct, 4) == pytest.approx(chance, abs=5e-4)


@given(st.integers(1, 7), st.data())
def test_pass_at_k_is_the_share_of_subsets_with_a_right_answer(n: int, data: st.DataObject) -> None:
    c, k = data.draw(st.integers(0, n)), data.draw(st.integers(1, n))
    subsets = list(combinations([True] * c + [False] * (n - c), k))
    assert pass_at_k(n, c, k) == pytest.approx(sum(map(any, subsets)) / len(subsets))


def test_pass_at_k_refuses_fewer_samples_than_k() -> None:
    with pytest.raises(ValueError, match="pass@5 needs at least 5 samples, 4"):
        pass_at_k(4, 1, 5)


def test_aes_adds_three_times_a_gain_and_takes_five_times_a_loss() -> None:
    assert accuracy_efficiency_score(0.5, 50, 0.5, 100) == pytest.approx(0.5)
    assert accuracy_efficiency_score(0.6, 50, 0.5, 100) == pytest.approx(0.5 + 3 * 0.2)
    assert accuracy_efficiency_score(0.4, 50, 0.5, 100) == pytest.approx(0.5 - 5 * 0.2)
    assert accuracy_efficiency_score(0.4, 50, 0.5, 100, (1, 5, 10)) == pytest.approx(0.5 - 2.0)


def test_aes_of_arrays_is_that_of_their_entries() -> None:
    accuracy, tokens = np.array([0.5, 0.6, 0.4]), np.array([50.0, 80.0, 120.0])
    base = np.full(3, 0.5), np.full(3, 100.0)
    one_by_one = [
        accuracy_efficiency_score(a, n, 0.5, 100.0) for a, n in zip(accuracy, tokens, strict=True)
    ]
    assert accuracy_efficiency_score(accuracy, tokens, *base).tolist() == one_by_one


def test_a_completion_longer_than_the_cap_is_wrong() -> None:
    correct = np.array([[1.0, 1.0, 0.0, np.nan, np.nan]])
    tokens = np.array([[4.0, 5.0, 4.0, 4.0, 5.0]])
    within = correct_within(correct, tokens, cap=4)
    np.testing.assert_array_equal(within, [[1.0, 0.0, 0.0, np.nan, np.nan]])


TOKENS, BUDGETS = np.array([[90.0, 100.0], [250.0, 180.0]]), np.array([[100.0], [200.0]])


def test_budget_error_is_the_mean_distance_relative_to_each_budget() -> None:
    assert budget_error(TOKENS, BUDGETS) == pytest.approx((0.1 + 0 + 0.25 + 0.1) / 4)


def test_budget_bias_lets_longer_and_shorter_answers_cancel() -> None:
    assert budget_bias(TOKENS, BUDGETS) == pytest.approx((-0.1 + 0 + 0.25 - 0.1) / 4)
    at_one_budget = np.array([[80.0, 140.0]])
    assert budget_bias(at_one_budget, np.array([100.0])) == pytest.approx((110 - 100) / 100)


def test_an_answer_of_exactly_its_budget_is_within_it() -> None:
    assert share_within_budget(TOKENS, BUDGETS) == 0.75
    assert share_within_budget(np.array([101.0]), np.array([100.0])) == 0.0


@given(st.lists(st.tuples(st.integers(1, 999), st.integers(1, 999)), min_size=1, max_size=9))
def test_budget_figures_are_those_of_a_plain_loop(pairs: list[tuple[int, int]]) -> None:
    tokens, budgets = np.array(pairs, float).T
    misses = [(n - b) / b for n, b in pairs]
    assert budget_error(tokens, budgets) == pytest.approx(sum(map(abs, misses)) / len(pairs))
    assert budget_bias(tokens, budgets) == pytest.approx(sum(misses) / len(pairs), abs=1e-12)
    within = [n <= b for n, b in pairs]
    assert share_within_budget(tokens, budgets) == pytest.approx(sum(within) / len(pairs))


BASE = [(82.1, 5534), (28.5, 16590), (62.7, 10615), (43.5, 11587), (26.0, 7076)]
PUBLISHED = {
    "Kimi k1.5": (-0.871, [(66.3, 1552), (18.8, 9109), (44.7, 3808), (28.5, 4774), (16.7, 1009)]),
    "L1-Max": (0.451, [(83.5, 3337), (21.7, 4093), (66.3, 3350), (45.6, 2698), (25.2, 2595)]),
    "PALU": (1.139, [(85.3, 1502), (40.0, 7132), (81.8, 3174), (49.5, 3958), (24.2, 1922)]),
}


@pytest.mark.parametrize("method", PUBLISHED)
def test_mean_aes_over_benchmarks_is_the_published_one(method: str) -> None:
    """Table 2 of PALU (arXiv:2510.10168): AES per benchmark, then the mean."""
    published, rows = PUBLISHED[method]
    scores = [
        accuracy_efficiency_score(a, n, a0, n0) for (a, n), (a0, n0) in zip(rows, BASE, strict=True)
    ]
    assert np.mean(scores) == pytest.approx(published, abs=1.1e-3)


def test_bootstrap_interval_of_a_constant_is_that_constant() -> None:
    assert bootstrap_interval([0.7] * 20) == pytest.approx((0.7, 0.7))


def test_bootstrap_interval_is_repeatable_and_close_to_the_normal_one() -> None:
    values = np.arange(400) % 2
    low, high = bootstrap_interval(values)
    assert (low, high) == bootstrap_interval(values)
    assert low == pytest.approx(0.5 - 1.96 * 0.5 / 20, abs=4e-3)
    assert high == pytest.approx(0.5 + 1.96 * 0.5 / 20, abs=4e-3)


def test_bootstrap_interval_equals_explicit_resampling() -> None:
    values = np.random.default_rng(1).exponential(size=30)
    slow = np.random.default_rng(2)
    means = [slow.choice(values, size=30).mean() for _ in range(20_000)]
    assert bootstrap_interval(values, num_resamples=20_000) == pytest.approx(
        np.quantile(means, [0.025, 0.975]), abs=0.02
    )


def test_resamples_draw_whole_problems_with_replacement() -> None:
    draws = bootstrap_draws(5, num_resamples=2000)
    assert draws.shape == (2000, 5)
    assert (bootstrap_draws(5, num_resamples=2000) == draws).all()
    assert (bootstrap_draws(5, seed=1, num_resamples=2000) != draws).any()
    assert np.bincount(draws.ravel()) / 2000 == pytest.approx([1.0] * 5, abs=0.1)


def test_a_resampled_ratio_sums_what_was_drawn() -> None:
    draws = np.array([[0, 0, 1], [2, 2, 2]])
    ratios = resampled_ratio(np.array([1.0, 2.0, 0.0]), np.array([2.0, 4.0, 0.0]), draws)
    assert ratios[0] == pytest.approx((1 + 1 + 2) / (2 + 2 + 4))
    assert np.isnan(ratios[1])


def test_interval_leaves_out_resamples_that_say_nothing() -> None:
    resampled = np.array([*range(201), np.nan, np.nan], float)
    assert percentile_interval(resampled) == pytest.approx((5.0, 195.0))
