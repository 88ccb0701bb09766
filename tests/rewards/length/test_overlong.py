"""Golden values: DAPO's limit of 20480 tokens with a soft punish cache of 4096."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, Group
from rewards.length.overlong import OverlongConfig, build_reward, soft_overlong_punishment
from tests.rewards.groups import completion, prompt, verdicts

LIMIT, CACHE = 20480, 4096


def group_of(*lengths, limit):
    """A group of completions under one limit; those that reach it are cut off there."""
    completions = [
        replace(
            completion(f"c{i}", n, finish=Finish.LIMIT if n == limit else Finish.STOP), limit=limit
        )
        for i, n in enumerate(lengths)
    ]
    return Group(prompt=prompt("p"), completions=tuple(completions))


def lengths_parts(config, group):
    scores = build_reward(config)([group], [verdicts([True] * len(group.completions))])[0]
    return [s.parts["length"] for s in scores]


@pytest.mark.parametrize(
    ("length", "punishment"),
    [(1, 0), (16384, 0), (16385, -1 / 4096), (18432, -0.5), (20480, -1), (21000, -1)],
)
def test_punishment_is_the_golden_one(length, punishment):
    assert soft_overlong_punishment(length, LIMIT, CACHE) == pytest.approx(punishment, abs=1e-12)


def test_a_cache_as_long_as_the_limit_punishes_every_token():
    assert soft_overlong_punishment(25, limit=100, cache=100) == pytest.approx(-0.25)


@given(st.integers(1, 32768), st.integers(1, 32768), st.integers(1, 32768))
def test_a_longer_answer_is_never_punished_less(length, limit, cache):
    less = soft_overlong_punishment(length, limit, cache)
    assert -1 <= soft_overlong_punishment(length + 1, limit, cache) <= less <= 0


@given(st.integers(1, 3000), st.integers(1, 2000), st.integers(1, 1000))
def test_the_punishment_is_that_of_the_three_written_cases(length, limit, cache):
    expected_length = limit - cache
    if length <= expected_length:
        punishment = 0.0
    elif length <= limit:
        punishment = (expected_length - length) / cache
    else:
        punishment = -1.0
    assert soft_overlong_punishment(length, limit, cache) == pytest.approx(punishment)


def test_the_default_cache_is_the_papers_under_the_papers_limit():
    parts = lengths_parts(OverlongConfig(), group_of(16384, 18432, 20480, limit=20480))
    assert parts == [0.0, -0.5, -1.0]


def test_each_completion_is_held_to_the_limit_it_was_launched_with():
    short, long = group_of(90, limit=100), group_of(90, limit=1000)
    mixed = replace(short, completions=short.completions + long.completions)
    assert lengths_parts(OverlongConfig(cache_share=0.2), mixed) == pytest.approx([-0.5, 0.0])


def test_right_and_wrong_answers_are_punished_alike():
    group = group_of(95, 95, 10, limit=100)
    scores = build_reward(OverlongConfig())([group], [verdicts([True, False, False])])[0]
    assert [s.total for s in scores] == pytest.approx([1.25, -0.75, 0.0])


def test_a_cut_off_answer_pays_in_full_even_in_an_all_wrong_group():
    scores = build_reward(OverlongConfig())(
        [group_of(100, 40, limit=100)], [verdicts([False] * 2)]
    )[0]
    assert [s.total for s in scores] == [-1.0, 0.0]


def test_right_and_wrong_lie_as_far_apart_as_dapos_outcomes():
    reward = build_reward(OverlongConfig())
    right, wrong = reward([group_of(10, 10, limit=100)], [verdicts([True, False])])[0]
    assert right.total - wrong.total == 1 - -1


def test_a_group_of_one_and_equal_lengths_are_punished_as_any_other():
    assert lengths_parts(OverlongConfig(), group_of(90, limit=100)) == pytest.approx([-0.5])
    assert lengths_parts(OverlongConfig(), group_of(90, 90, limit=100)) == pytest.approx([-0.5] * 2)


@pytest.mark.parametrize("share", [0.0, 1.1])
def test_a_cache_that_is_no_part_of_the_limit_is_a_problem(share):
    assert OverlongConfig(cache_share=share).problems() == [
        f"reward.cache_share={share}: set 0 < reward.cache_share <= 1, a part of the limit"
    ]
    assert OverlongConfig(cache_share=1.0).problems() == []


def test_correctness_without_worth_is_a_problem():
    assert OverlongConfig(worth=0.0).problems() == ["reward.worth=0.0: set reward.worth>0"]
    assert OverlongConfig(worth=0.5).problems() == []
