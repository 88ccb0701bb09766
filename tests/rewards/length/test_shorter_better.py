"""Golden values: lengths 400, 700, 1000, 1600, the third wrong; the shortest right one has 400."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.length.shorter_better import (
    ShorterBetterConfig,
    build_reward,
    sample_optimal_length,
    shorter_better_length_terms,
)
from tests.rewards.groups import group, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]

answers = st.lists(st.tuples(st.integers(1, 32768), st.booleans()), min_size=1, max_size=16)


def totals(lengths, correct, **numbers):
    reward = build_reward(ShorterBetterConfig(**numbers))
    return [s.total for s in reward([group("p", lengths)], [verdicts(correct)])[0]]


def test_alpha_and_distance_give_the_golden_reward():
    assert totals(LENGTHS, CORRECT) == pytest.approx([2.0, 1.7, -0.6, 0.8])


def test_an_all_wrong_group_is_pulled_to_its_mean():
    assert totals(LENGTHS, [False] * 4) == pytest.approx([-0.525, -0.225, -0.075, -0.675])


def test_the_optimal_length_is_the_shortest_correct_answers():
    assert sample_optimal_length([900, 300, 50, 600], [True, True, False, True]) == 300


def test_without_a_correct_answer_the_optimal_length_is_the_mean():
    assert sample_optimal_length([1, 2], [False, False]) == 1.5


def test_shorter_than_optimal_costs_as_much_as_longer():
    terms = shorter_better_length_terms([70, 100, 130], [False, True, False], beta=0.01)
    assert terms == pytest.approx([-0.3, 0.0, -0.3])


def test_a_group_of_one_gets_alpha_or_nothing():
    assert totals([500], [True], alpha=3.0) == [3.0]
    assert totals([500], [False], alpha=3.0) == [0.0]


def test_equal_lengths_leave_correctness_alone():
    assert totals([50, 50, 50], [True, False, True]) == [2.0, 0.0, 2.0]


def test_a_truncated_answer_pays_for_its_distance_to_the_optimum():
    assert totals([1000, 6000], [True, False]) == pytest.approx([2.0, -5.0])


def test_a_wrong_answer_of_optimal_length_outranks_a_right_one_2000_tokens_longer():
    shortest, wrong, just_within, beyond = totals([10, 10, 2009, 2011], [True, False, True, True])
    assert shortest > just_within > wrong > beyond


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        shorter_better_length_terms([9, 5], [False], 0.1)


@given(answers)
def test_among_correct_answers_a_longer_one_never_gets_more(group):
    lengths, correct = zip(*group, strict=True)
    terms = shorter_better_length_terms(lengths, correct, 0.001)
    right = sorted((n, -t) for n, ok, t in zip(lengths, correct, terms, strict=True) if ok)
    assert [cost for _, cost in right] == sorted(cost for _, cost in right)


@given(answers)
def test_the_terms_are_those_of_the_definition(group):
    lengths, correct = zip(*group, strict=True)
    terms = shorter_better_length_terms(lengths, correct, 0.001)
    for i, n in enumerate(lengths):
        others = [m for m, ok in group if ok] or [sum(lengths) / len(lengths)]
        assert terms[i] == pytest.approx(-0.001 * max(n - min(others), min(others) - n))


@given(answers, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_terms(group, random):
    order = list(range(len(group)))
    random.shuffle(order)
    terms = shorter_better_length_terms(*zip(*group, strict=True), 0.001)
    permuted = shorter_better_length_terms(*zip(*[group[i] for i in order], strict=True), 0.001)
    assert permuted == pytest.approx([terms[i] for i in order], rel=1e-9)


def test_correctness_keeps_its_worth_apart_from_length():
    reward = build_reward(ShorterBetterConfig(alpha=2.0, beta=0.5))
    parts = [s.parts for s in reward([group("p", [3, 5])], [verdicts([True, False])])[0]]
    assert parts == [{"correct": 2.0, "length": 0.0}, {"correct": 0.0, "length": -1.0}]


@pytest.mark.parametrize("value", [0.0, -1.0])
def test_numbers_that_turn_the_method_off_are_problems(value):
    assert ShorterBetterConfig(alpha=value, beta=value).problems() == [
        f"reward.alpha={value}: set reward.alpha>0",
        f"reward.beta={value}: set reward.beta>0, or reward=correct for none",
    ]


def test_defaults_are_the_papers():
    assert (ShorterBetterConfig().alpha, ShorterBetterConfig().beta) == (2.0, 0.001)
    assert ShorterBetterConfig().problems() == []
    assert ShorterBetterConfig(alpha=0.5).problems() == []
