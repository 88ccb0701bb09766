"""Golden values: S = 1200 ... 6000 under L = 8192, tau 0.5: alpha 3300, so that L becomes 4892."""

import json
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.limits.palu import (
    PaluAllConfig,
    PaluConfig,
    all_lengths,
    build_limit,
    build_limit_all,
    correct_lengths,
    palu_limit,
    quantile_step,
)
from tests.rewards.groups import prompt, verdicts
from tests.rl.limits.launched import sampled

S = [1200, 1500, 1800, 2400, 3000, 3600, 4800, 6000]
CONFIG = PaluConfig(max_response_tokens=8192)
PAPER = {"target": 0.8, "tau": 0.5, "longest": 16384}

lengths = st.lists(st.integers(1, 16384), min_size=1, max_size=16)
taus = st.floats(0.01, 1.0)


def observe(limit, name, lengths, correct, under):
    return limit.observe([sampled(name, lengths, under)], [verdicts(correct)])


def test_the_quantile_step_has_the_golden_value():
    assert quantile_step(S, 0.5) == 3300


@pytest.mark.parametrize(("tau", "alpha"), [(0.25, 2100.0), (1.0, 4800.0), (0.1, 840.0)])
def test_a_larger_tau_reaches_further_down(tau, alpha):
    """Linear interpolation at 0.75 * 7 = 5.25, at 0 and at 6.3 among the sorted eight."""
    assert quantile_step(S, tau) == pytest.approx(alpha)


def test_a_satisfied_constraint_takes_the_golden_step_and_any_other_one_the_upper_bound():
    assert palu_limit(8192, S, 0.9, **PAPER) == 4892
    assert palu_limit(8192, S, 0.7, **PAPER) == 16384


def test_the_constraint_is_strict():
    assert palu_limit(8192, S, 4 / 5, **PAPER) == 16384
    assert palu_limit(8192, S, 0.8000001, **PAPER) == 4892


@pytest.mark.parametrize("lengths", [[700], [700, 700, 700]])
def test_a_single_answer_or_equal_lengths_leave_the_limit(lengths):
    assert palu_limit(1000, lengths, 1.0, **PAPER) == 1000


def slow_quantile(values: list[int], q: float) -> float:
    """Walks from the smallest value up to position q (n - 1)."""
    ordered, position = sorted(values), q * (len(values) - 1)
    below = min(int(position), len(values) - 1)
    above = min(below + 1, len(values) - 1)
    return ordered[below] + (position - below) * (ordered[above] - ordered[below])


@given(lengths, taus)
def test_the_step_is_that_of_a_slow_quantile(values, tau):
    slow = slow_quantile(values, 1.0) - slow_quantile(values, 1 - tau)
    assert quantile_step(values, tau) == pytest.approx(slow, abs=1e-6)


@given(lengths, taus, st.integers(0, 5000))
def test_a_limit_never_falls_below_the_quantile_nor_rises_above_what_it_was(values, tau, slack):
    under = max(values) + slack
    limit = palu_limit(under, values, 1.0, target=0.8, tau=tau, longest=99_999)
    assert slow_quantile(values, 1 - tau) - 0.51 <= limit <= under


@given(lengths, taus, st.integers(1, 100))
def test_tokens_that_all_answers_share_do_not_change_the_step(values, tau, shift):
    shifted = [n + shift for n in values]
    assert quantile_step(shifted, tau) == pytest.approx(quantile_step(values, tau), abs=1e-6)


@given(lengths, taus, st.randoms(use_true_random=False))
def test_the_order_of_a_group_does_not_matter(values, tau, random):
    shuffled = random.sample(values, len(values))
    assert quantile_step(shuffled, tau) == quantile_step(values, tau)


def test_an_unseen_prompt_has_the_upper_bound():
    assert build_limit(CONFIG).limit(prompt("a"), 0) == 8192
    assert build_limit(replace(CONFIG, longest_tokens=512)).limit(prompt("a"), 0) == 512


def test_each_prompt_has_a_limit_of_its_own():
    limit = build_limit(CONFIG)
    observe(limit, "a", S, [True] * 8, under=8192)
    assert [limit.limit(prompt(name), 1) for name in "ab"] == [4892, 8192]


def test_a_limit_goes_on_from_the_one_that_the_group_was_launched_with():
    """A group that was under way while its prompt's limit fell is no reason to raise it again."""
    limit = build_limit(CONFIG)
    observe(limit, "a", S, [True] * 8, under=7000)
    assert limit.limit(prompt("a"), 1) == 7000 - 3300
    observe(limit, "alone", [1200], [True], under=7000)
    assert limit.limit(prompt("alone"), 1) == 7000


def test_a_prompt_that_is_missed_too_often_gets_the_upper_bound_back():
    limit = build_limit(CONFIG)
    observe(limit, "a", S, [True] * 8, under=8192)
    observe(limit, "a", [10] * 5, [True, True, True, True, False], under=4892)
    assert limit.limit(prompt("a"), 2) == 8192


def test_a_prompt_without_a_correct_answer_has_the_upper_bound():
    for config in (CONFIG, replace(CONFIG, pass_rate=0.0)):
        limit = build_limit(config)
        observe(limit, "a", [8192, 8192], [False, False], under=8192)
        assert limit.limit(prompt("a"), 1) == 8192


def test_the_metric_is_the_share_of_limits_that_were_put_back():
    limit = build_limit(CONFIG)
    fallen, high = sampled("a", [10] * 2, 4892), sampled("b", [10] * 2, 8192)
    wrong, right = verdicts([False] * 2), verdicts([True] * 2)
    assert limit.observe([fallen, high], [wrong, wrong]) == {"limit/reset_ratio": 0.5}
    assert limit.observe([fallen, high], [right, right]) == {"limit/reset_ratio": 0.0}


def test_a_wrong_answer_at_the_limit_counts_in_one_population_only():
    judged = sampled("a", [10, 20, 30, 40, 50, 100], 100), verdicts([True] * 5 + [False])
    assert correct_lengths(*judged) == [10, 20, 30, 40, 50]
    assert all_lengths(*judged) == [10, 20, 30, 40, 50, 100]
    limits = []
    for limit in (build_limit(CONFIG), build_limit_all(PaluAllConfig(max_response_tokens=8192))):
        limit.observe([judged[0]], [judged[1]])
        limits.append(limit.limit(prompt("a"), 1))
    assert limits == [100 - (50 - 30), 100 - (100 - 35)]


def test_the_lower_bound_holds():
    limit = build_limit(replace(CONFIG, shortest_tokens=5000))
    observe(limit, "a", S, [True] * 8, under=8192)
    assert limit.limit(prompt("a"), 1) == 5000


updates = st.lists(
    st.tuples(
        st.sampled_from("abc"),
        st.lists(st.tuples(st.integers(1, 512), st.booleans()), min_size=2, max_size=8),
    ),
    max_size=4,
)


@given(updates, updates)
def test_a_restored_limit_goes_on_as_the_original(before, after):
    config = PaluConfig(max_response_tokens=512)
    original, restored = build_limit(config), build_limit(config)
    for limits, batch in (((original,), before), ((original, restored), after)):
        for name, answers in batch:
            numbers, correct = map(list, zip(*answers, strict=True))
            for limit in limits:
                observe(limit, name, numbers, correct, under=limit.limit(prompt(name), 0))
        if batch is before:
            restored.load(json.loads(json.dumps(original.state())))
    assert restored.state() == original.state()
    assert all(1 <= original.limit(prompt(name), 0) <= 512 for name in "abc")


def test_the_defaults_are_no_problem():
    assert (PaluConfig().problems(), PaluAllConfig().problems()) == ([], [])
    assert PaluConfig(pass_rate=0.0, quantile=1.0).problems() == []
    assert (PaluConfig().pass_rate, PaluConfig().quantile, PaluConfig().longest) == (
        0.8,
        0.5,
        16384,
    )


@pytest.mark.parametrize("pass_rate", [-0.1, 1.0])
def test_a_pass_rate_that_no_group_can_exceed_is_a_problem(pass_rate):
    assert PaluConfig(pass_rate=pass_rate).problems() == [
        f"limit.pass_rate={pass_rate}: no group passes more than all of its answers; set 0 <= "
        "limit.pass_rate < 1"
    ]


@pytest.mark.parametrize("quantile", [0.0, 1.1])
def test_a_quantile_outside_its_range_is_a_problem(quantile):
    assert PaluConfig(quantile=quantile).problems() == [
        f"limit.quantile={quantile}: set 0 < limit.quantile <= 1"
    ]
