"""Golden values: 14336 tokens, correct answers from 2 to 1, wrong ones from -10 to 0."""

from dataclasses import replace
from math import cos, pi

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, Group
from rewards.length.cosine import CosineConfig, build_reward, cosine, cosine_reward
from tests.rewards.groups import completion, prompt, verdicts

LIMIT = 14336
RIGHT, WRONG = (2.0, 1.0), (-10.0, 0.0)


def group_of(*lengths, limit=LIMIT, finish=Finish.STOP):
    completions = [
        replace(completion(f"c{i}", n, finish=finish), limit=limit) for i, n in enumerate(lengths)
    ]
    return Group(prompt=prompt("p"), completions=tuple(completions))


def totals(group, correct, **numbers):
    return [s.total for s in build_reward(CosineConfig(**numbers))([group], [verdicts(correct)])[0]]


@pytest.mark.parametrize(
    ("length", "right", "wrong"), [(0, 2, -10), (7168, 1.5, -5), (14000, 1.0014, -0.0135)]
)
def test_curves_pass_through_the_golden_values(length, right, wrong):
    assert cosine(length, LIMIT, RIGHT) == pytest.approx(right, abs=5e-5)
    assert cosine(length, LIMIT, WRONG) == pytest.approx(wrong, abs=5e-5)


@given(st.integers(1, 20000), st.floats(0, 1), st.floats(-10, 10), st.floats(-10, 10))
def test_the_curve_is_the_learning_rate_schedule_of_the_paper(limit, share, at_zero, at_limit):
    length = share * limit
    schedule = at_limit + 0.5 * (at_zero - at_limit) * (1 + cos(length / limit * pi))
    assert cosine(length, limit, (at_zero, at_limit)) == pytest.approx(schedule, abs=1e-9)


@given(st.integers(1, 20000), st.integers(1, 20000), st.integers(1, 20000))
def test_short_is_better_when_right_and_worse_when_wrong(first, second, limit):
    shorter, longer = sorted((min(first, limit), min(second, limit)))
    assert cosine(shorter, limit, RIGHT) >= cosine(longer, limit, RIGHT) >= 1
    assert cosine(shorter, limit, WRONG) <= cosine(longer, limit, WRONG) <= 0


def test_an_answer_that_ends_with_the_last_token_is_not_cut_off():
    assert cosine_reward(100, 100, False, RIGHT, exceeded=-10.0) == pytest.approx(1.0)
    assert cosine_reward(100, 100, True, RIGHT, exceeded=-10.0) == -10.0


def test_what_was_cut_off_gets_the_exceed_value_right_or_wrong():
    cut = group_of(LIMIT, LIMIT, finish=Finish.LIMIT)
    assert totals(cut, [True, False], exceeded=-7.0) == [-7.0, -7.0]


def test_the_reward_is_the_papers_and_correctness_a_part_of_it():
    group = group_of(7168, 7168, 14336)
    assert totals(group, [True, False, True]) == pytest.approx([1.5, -5.0, 1.0])
    scores = build_reward(CosineConfig())([group], [verdicts([True, False, True])])[0]
    assert [s.parts["correct"] for s in scores] == [1.0, 0.0, 1.0]
    assert [s.parts["length"] for s in scores] == pytest.approx([0.5, -5.0, 0.0])


def test_each_curve_has_its_own_ends():
    group = group_of(50, 50, limit=100)
    numbers = {"correct_at_zero": 9.0, "correct_at_limit": 5.0}
    assert totals(group, [True, False], **numbers) == pytest.approx([7.0, -5.0])
    numbers = {"wrong_at_zero": -4.0, "wrong_at_limit": -2.0}
    assert totals(group, [True, False], **numbers) == pytest.approx([1.5, -3.0])


def test_each_completion_is_held_to_the_limit_it_was_launched_with():
    short, long = group_of(100, limit=100), group_of(100, limit=200)
    mixed = replace(short, completions=short.completions + long.completions)
    assert totals(mixed, [True, True]) == pytest.approx([1.0, 1.5])


def test_where_nobody_is_right_longer_is_better():
    shortest, middle, longest = totals(group_of(100, 5000, 9000), [False] * 3)
    assert shortest < middle < longest < 0


def test_a_group_of_one_and_equal_lengths_are_placed_as_any_other():
    assert totals(group_of(7168), [True]) == pytest.approx([1.5])
    assert totals(group_of(7168, 7168), [True, True]) == pytest.approx([1.5, 1.5])


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({"correct_at_zero": 0.9}, "0.9, reward.correct_at_limit=1.0, reward.wrong_at_limit=0.0"),
        ({"correct_at_limit": 0.0}, "2.0, reward.correct_at_limit=0.0, reward.wrong_at_limit=0.0"),
    ],
)
def test_a_right_answer_that_need_not_beat_a_wrong_one_is_a_problem(numbers, shown):
    assert CosineConfig(**numbers).problems() == [
        f"reward.correct_at_zero={shown}: set them in falling order, so that a correct answer is "
        "always worth more than a wrong one"
    ]


@pytest.mark.parametrize(
    ("numbers", "shown"),
    [
        ({"wrong_at_zero": 0.5}, "0.5, reward.exceeded=-10.0"),
        ({"exceeded": 0.5}, "-10.0, reward.exceeded=0.5"),
    ],
)
def test_a_wrong_answer_that_beats_the_longest_wrong_one_is_a_problem(numbers, shown):
    assert CosineConfig(**numbers).problems() == [
        f"reward.wrong_at_zero={shown}: set both to at most reward.wrong_at_limit=0.0"
    ]


def test_the_papers_setting_and_flat_curves_are_no_problem():
    assert CosineConfig().problems() == []
    assert CosineConfig(correct_at_zero=1.0, wrong_at_zero=0.0, exceeded=0.0).problems() == []
    paper = CosineConfig()
    assert (paper.correct_at_zero, paper.correct_at_limit) == RIGHT
    assert (paper.wrong_at_zero, paper.wrong_at_limit, paper.exceeded) == (*WRONG, -10.0)
