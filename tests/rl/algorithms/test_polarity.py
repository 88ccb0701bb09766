from math import isnan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.grpo import grpo_advantages
from rl.algorithms.polarity import effective_weight, flip_rate, length_only_rate

samples = st.lists(
    st.tuples(st.floats(-5, 5), st.booleans(), st.floats(0, 1)), min_size=2, max_size=12
)


def test_a_flip_is_a_change_to_the_opposite_sign():
    without = [[1.0, -1.0, 0.0, 2.0], [-1.0, -1.0, 1.0, 0.0]]
    with_term = [[0.5, 1.0, 1.0, 0.0], [-2.0, 0.5, -0.1, 0.0]]
    assert flip_rate(with_term, without) == 3 / 8


def test_samples_without_an_advantage_by_correctness_are_pushed_by_length_alone():
    without = [[0.0, 0.0, 1.0, 0.0]]
    with_term = [[0.5, -0.5, 0.0, 0.0]]
    assert length_only_rate(with_term, without) == 2 / 4
    assert flip_rate(with_term, without) == 0.0


@given(samples)
def test_a_bonus_on_right_answers_flips_nothing_where_right_is_positive(group):
    """Polarity-safe by construction: the bonus is added to advantages that are not negative."""
    without = [abs(value) if ok else -abs(value) for value, ok, _ in group]
    with_term = [value + bonus * ok for value, (_, ok, bonus) in zip(without, group, strict=True)]
    assert flip_rate([with_term], [without]) == 0.0


Z = 1.5**0.5
"""Lengths 1, 2, 3 standardised are -Z, 0, Z; correctness 1, 0, 0 is 1.414, then twice -0.707."""


def test_the_effective_weight_is_the_ratio_of_the_two_coefficients():
    """A = 0.3 + 2 c - 0.5 n in both groups."""
    high, low = 0.3 + 2 * 2**0.5, 0.3 - 2**0.5
    advantages = [[high + 0.5 * Z, low, low - 0.5 * Z], [low + 0.5 * Z, low, high - 0.5 * Z]]
    correct = [[True, False, False], [False, False, True]]
    assert effective_weight(advantages, correct, [[1, 2, 3], [10, 20, 30]]) == pytest.approx(-0.25)


def test_the_length_is_standardised_in_its_own_group():
    """A = c - 0.25 n, where the right answer is the shorter one, then the longer one."""
    advantages = [[1.25, -1.25], [0.75, -0.75]]
    correct = [[True, False], [True, False]]
    lengths = [[10, 30], [900, 100]]
    assert effective_weight(advantages, correct, lengths) == pytest.approx(-0.25)


@given(
    st.lists(
        st.lists(st.tuples(st.booleans(), st.integers(1, 999)), min_size=4, max_size=4),
        max_size=4,
    )
)
def test_grpo_by_correctness_alone_gives_length_no_weight(groups):
    balanced = [(True, 1), (False, 1), (True, 2), (False, 2)]
    correct = [[ok for ok, _ in group] for group in [balanced, *groups]]
    lengths = [[n for _, n in group] for group in [balanced, *groups]]
    advantages = [grpo_advantages(list(map(float, group))) for group in correct]
    weight = effective_weight(advantages, correct, lengths)
    assert weight == pytest.approx(0.0, abs=1e-4)


def test_groups_of_equal_lengths_have_no_length_to_regress_on():
    assert effective_weight([[1.0, -1.0]], [[True, False]], [[7, 7]]) == pytest.approx(0.0)


def test_without_a_wrong_or_a_right_answer_there_is_no_weight():
    advantages, lengths = [[1.0, 0.0, -1.0]], [[1, 2, 3]]
    assert isnan(effective_weight(advantages, [[False] * 3], lengths))


@given(st.floats(0.1, 10), st.floats(-3, 3), st.floats(-3, 3))
def test_scaling_or_shifting_all_advantages_leaves_the_weight(scale, shift, by_length):
    correct, lengths = [[True, False], [True, False]], [[1, 3], [3, 1]]
    advantages = [[1 - by_length, by_length - 1], [1 + by_length, -1 - by_length]]
    moved = [[scale * value + shift for value in row] for row in advantages]
    assert effective_weight(advantages, correct, lengths) == pytest.approx(by_length, abs=1e-6)
    assert effective_weight(moved, correct, lengths) == pytest.approx(by_length, abs=1e-6)
