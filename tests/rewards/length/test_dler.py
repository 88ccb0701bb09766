"""Worked examples by hand: four completions, two of them truncated, one of those found right."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish
from rewards.length.dler import (
    DlerCodeConfig,
    DlerConfig,
    build_code_reward,
    build_reward,
    dler_code_length_terms,
    dler_length_terms,
    truncations,
)
from tests.rewards.groups import completion, group, verdicts

CORRECT, TRUNCATED = [True, True, False, False], [False, True, False, True]
GROUP = replace(
    group("p", [1, 1, 1, 1]),
    completions=tuple(
        completion(f"p/{i}", n, finish=finish)
        for i, (n, finish) in enumerate(
            [(3, Finish.STOP), (8, Finish.LIMIT), (5, Finish.STOP), (8, Finish.LIMIT)]
        )
    ),
)
answers = st.lists(st.tuples(st.booleans(), st.booleans()), min_size=1, max_size=16)


def test_a_truncated_right_answer_loses_all_of_its_worth():
    assert dler_length_terms(CORRECT, TRUNCATED) == [0.0, -1.0, 0.0, 0.0]


def test_the_released_code_leaves_a_tenth():
    assert dler_code_length_terms(CORRECT, TRUNCATED, 0.1) == [0.0, pytest.approx(-0.9), 0.0, 0.0]


@pytest.mark.parametrize(("factor", "term"), [(0.0, -1.0), (1.0, 0.0)])
def test_the_factor_is_what_remains(factor, term):
    assert dler_code_length_terms([True], [True], factor) == [term]


@given(answers, st.floats(0, 1))
def test_rewards_lie_between_nothing_and_correctness(pairs, factor):
    correct, truncated = zip(*pairs, strict=True)
    for ok, cut, term in zip(
        correct, truncated, dler_code_length_terms(correct, truncated, factor), strict=True
    ):
        assert ok + term == pytest.approx(ok * (factor if cut else 1))


def test_a_completion_is_judged_by_its_own_finish_and_not_by_its_length():
    assert truncations(GROUP) == TRUNCATED


def test_the_paper_scores_a_truncated_completion_zero():
    scores = build_reward(DlerConfig())([GROUP], [verdicts(CORRECT)])[0]
    assert [s.total for s in scores] == [1.0, 0.0, 0.0, 0.0]
    assert [s.parts["correct"] for s in scores] == [1.0, 1.0, 0.0, 0.0]
    assert [s.correct for s in scores] == CORRECT


def test_the_code_scores_a_truncated_right_answer_a_tenth():
    scores = build_code_reward(DlerCodeConfig())([GROUP], [verdicts(CORRECT)])[0]
    assert [s.total for s in scores] == pytest.approx([1.0, 0.1, 0.0, 0.0])


@pytest.mark.parametrize("factor", [0.0, 1.0])
def test_a_factor_from_nothing_to_everything_is_allowed(factor):
    assert DlerCodeConfig(truncated_factor=factor).problems() == []


@pytest.mark.parametrize("factor", [-0.1, 1.1])
def test_a_factor_outside_is_a_problem(factor):
    assert DlerCodeConfig(truncated_factor=factor).problems() == [
        f"reward.truncated_factor={factor}: set 0 to 1"
    ]


def test_as_many_finishes_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        dler_length_terms([True], [])
