"""Golden values: lengths 400, 700, 1000, 1600, the third wrong; the right lie in [400, 1600]."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.length.slpo import SlpoConfig, build_reward, slpo_length_terms
from tests.rewards.groups import group, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]

answers = st.lists(st.tuples(st.integers(1, 32768), st.booleans()), min_size=1, max_size=16)


def test_correctness_plus_length_term_is_the_golden_reward():
    scores = build_reward(SlpoConfig(alpha=0.5))([group("p", LENGTHS)], [verdicts(CORRECT)])[0]
    assert [s.total for s in scores] == pytest.approx([1.5, 1.375, 0, 1.0])
    assert [s.parts["correct"] for s in scores] == [1.0, 1.0, 0.0, 1.0]


def test_wrong_answers_do_not_stretch_the_range():
    assert slpo_length_terms([1, 10, 20, 900], [False, True, True, False], 0.5) == [0, 0.5, 0, 0]


def test_a_lone_correct_answer_has_no_bonus():
    assert slpo_length_terms([10, 900, 5], [False, True, False], 0.5) == [0.0, 0.0, 0.0]


def test_equal_lengths_have_no_bonus():
    assert slpo_length_terms([50, 50, 9], [True, True, False], 0.5) == [0.0, 0.0, 0.0]


def test_a_group_without_a_correct_answer_has_no_length_term():
    assert slpo_length_terms([9, 5], [False, False], 0.5) == [0.0, 0.0]


def test_a_group_of_one_has_no_bonus():
    assert slpo_length_terms([9], [True], 0.5) == [0.0]


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        slpo_length_terms([9, 5], [False], 0.5)


@given(answers)
def test_bonuses_span_zero_to_alpha_for_correct_answers_alone(group):
    lengths, correct = zip(*group, strict=True)
    terms = slpo_length_terms(lengths, correct, 0.5)
    assert all(0 <= t <= 0.5 if ok else t == 0 for ok, t in zip(correct, terms, strict=True))
    if len({n for n, ok in group if ok}) > 1:
        assert (min(terms), max(terms)) == (0.0, 0.5)


@given(answers)
def test_a_longer_correct_answer_never_gets_more(group):
    lengths, correct = zip(*group, strict=True)
    terms = slpo_length_terms(lengths, correct, 0.5)
    right = sorted((n, -t) for n, ok, t in zip(lengths, correct, terms, strict=True) if ok)
    assert [cost for _, cost in right] == sorted(cost for _, cost in right)


@given(answers, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_terms(group, random):
    order = list(range(len(group)))
    random.shuffle(order)
    terms = slpo_length_terms(*zip(*group, strict=True), 0.5)
    permuted = slpo_length_terms(*zip(*[group[i] for i in order], strict=True), 0.5)
    assert permuted == [terms[i] for i in order]


@given(answers)
def test_the_terms_are_those_of_the_three_written_cases(group):
    """The equation case by case, one answer at a time."""
    right = sorted(n for n, ok in group if ok)
    terms = slpo_length_terms(*zip(*group, strict=True), 0.5)
    for (n, ok), term in zip(group, terms, strict=True):
        if not ok or len(right) == 1 or right[0] == right[-1]:
            assert term == 0
        else:
            assert term == pytest.approx(0.5 * (1 - (n - right[0]) / (right[-1] - right[0])))


@pytest.mark.parametrize("alpha", [0.0, -0.5])
def test_alpha_that_is_no_bonus_is_a_problem(alpha):
    assert SlpoConfig(alpha=alpha).problems() == [
        f"reward.alpha={alpha}: set reward.alpha>0, or reward=correct"
    ]
    assert SlpoConfig().problems() == []


def test_the_default_is_the_specified_placeholder():
    assert SlpoConfig().alpha == 0.5
