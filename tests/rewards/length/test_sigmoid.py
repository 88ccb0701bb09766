"""Golden values: lengths 400, 700, 1000, 1600, the third wrong; the right have std 509.902."""

from math import exp

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.length.sigmoid import SigmoidConfig, build_reward, sigmoid_length_terms
from tests.rewards.groups import group, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]

answers = st.lists(st.tuples(st.integers(1, 32768), st.booleans()), min_size=1, max_size=16)


@pytest.mark.parametrize(
    ("alpha", "rewards"),
    [
        (0.1, [0.9727, 0.9597, 0, 0.9202]),
        (0.2, [0.9454, 0.9194, 0, 0.8404]),
        (0.4, [0.8909, 0.8387, 0, 0.6809]),
    ],
)
def test_correctness_plus_length_term_is_the_golden_reward(alpha, rewards):
    terms = sigmoid_length_terms(LENGTHS, CORRECT, alpha)
    assert [c + t for c, t in zip(CORRECT, terms, strict=True)] == pytest.approx(rewards, abs=5e-5)


def test_the_std_is_widened_by_its_epsilon():
    shorter, longer = sigmoid_length_terms([1, 3], [True, True], 0.2)
    assert shorter == pytest.approx(-0.2 / (1 + exp(1 / (1 + 1e-7))), rel=1e-12)
    assert longer == pytest.approx(-0.2 / (1 + exp(-1 / (1 + 1e-7))), rel=1e-12)


def test_equal_lengths_cost_half_of_alpha():
    assert sigmoid_length_terms([50, 50, 50], [True, True, False], 0.2) == [-0.1, -0.1, 0.0]


def test_a_lone_correct_answer_costs_half_of_alpha():
    assert sigmoid_length_terms([900, 10, 5], [True, False, False], 0.4) == [-0.2, 0.0, 0.0]


def test_a_group_without_a_correct_answer_has_no_length_term():
    assert sigmoid_length_terms([9, 5], [False, False], 0.4) == [0.0, 0.0]


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        sigmoid_length_terms([9, 5], [False], 0.4)


@given(answers)
def test_a_correct_answer_is_always_worth_more_than_a_wrong_one(group):
    lengths, correct = zip(*group, strict=True)
    terms = sigmoid_length_terms(lengths, correct, 0.99)
    assert all(ok + t > 0 if ok else t == 0 for ok, t in zip(correct, terms, strict=True))


@given(answers)
def test_a_longer_correct_answer_never_gets_more(group):
    lengths, correct = zip(*group, strict=True)
    terms = sigmoid_length_terms(lengths, correct, 0.2)
    right = sorted((n, -t) for n, ok, t in zip(lengths, correct, terms, strict=True) if ok)
    assert [cost for _, cost in right] == sorted(cost for _, cost in right)


@given(answers, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_terms(group, random):
    order = list(range(len(group)))
    random.shuffle(order)
    terms = sigmoid_length_terms(*zip(*group, strict=True), 0.2)
    permuted = sigmoid_length_terms(*zip(*[group[i] for i in order], strict=True), 0.2)
    assert permuted == pytest.approx([terms[i] for i in order], rel=1e-9)


def test_the_reward_keeps_correctness_and_length_apart():
    scores = build_reward(SigmoidConfig(alpha=0.2))([group("p", LENGTHS)], [verdicts(CORRECT)])[0]
    assert [s.parts["correct"] for s in scores] == [1.0, 1.0, 0.0, 1.0]
    assert [s.parts["length"] for s in scores] == sigmoid_length_terms(LENGTHS, CORRECT, 0.2)
    assert [s.total for s in scores] == [s.parts["correct"] + s.parts["length"] for s in scores]


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.2])
def test_alpha_outside_its_range_is_a_problem(alpha):
    assert SigmoidConfig(alpha=alpha).problems() == [
        f"reward.alpha={alpha}: set 0 < reward.alpha < 1, so that a correct answer is always worth "
        "more than a wrong one"
    ]
    assert SigmoidConfig().problems() == []
