"""An answer counts up to its share of the tokens that the question takes: 0 within, -1 beyond."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.config import BudgetKind
from data.memory import PromptMemory
from data.types import Budget
from rewards.length.effort import (
    EffortConfig,
    GroupEffortConfig,
    MovingEffortConfig,
    build_group,
    build_moving,
    build_reward,
    effort_gate,
    group_means,
    question_means,
)
from tests.rewards.groups import group, verdicts

answers = st.lists(st.tuples(st.integers(1, 999), st.booleans()), min_size=1, max_size=8)


def asked(name, lengths, percent):
    return group(name, lengths, Budget(kind=BudgetKind.EFFORT, amount=percent))


def totals(reward, *groups):
    scores = reward(list(groups), [verdicts([True] * len(g.completions)) for g in groups])
    return [[s.total for s in row] for row in scores]


def test_an_answer_at_its_share_counts_and_one_beyond_does_not():
    lengths, correct = [28, 29, 30, 29, 30], [True, True, True, False, False]
    assert effort_gate(lengths, correct, 0.29, 100) == [0.0, 0.0, -1.0, 0.0, 0.0]


@pytest.mark.parametrize("effort", [0.01, 0.29, 0.5, 0.57, 1.0, 1.13])
def test_rounding_never_decides_about_an_answer_at_its_share(effort):
    assert effort_gate([round(100 * effort)], [True], effort, 100) == [0.0]


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        effort_gate([9, 5], [False], 0.5, 10)


@given(answers, st.floats(0.01, 2), st.floats(1, 999))
def test_the_reward_is_correctness_or_nothing(group_, effort, reference):
    lengths, correct = zip(*group_, strict=True)
    terms = effort_gate(lengths, correct, effort, reference)
    for n, ok, term in zip(lengths, correct, terms, strict=True):
        assert ok + term == (1 if ok and n / reference <= effort else 0)


@given(answers, st.integers(1, 200))
def test_permuting_a_group_permutes_its_scores(group_, percent):
    lengths, correct = zip(*group_, strict=True)
    reward = build_reward(EffortConfig())
    forwards = reward([asked("p", lengths, percent)], [verdicts(correct)])[0]
    backwards = reward([asked("p", lengths[::-1], percent)], [verdicts(correct[::-1])])[0]
    assert backwards == forwards[::-1]


@pytest.mark.parametrize("lengths", [[70], [70, 70, 70]])
def test_a_group_of_one_or_of_equal_lengths_counts_at_full_effort_only(lengths):
    reward = build_reward(EffortConfig())
    assert totals(reward, asked("p", lengths, 100)) == [[1.0] * len(lengths)]
    assert totals(reward, asked("p", lengths, 99)) == [[0.0] * len(lengths)]


def test_a_group_without_a_correct_answer_gets_nothing():
    scores = build_reward(EffortConfig())([asked("p", [5, 500], 50)], [verdicts([False, False])])
    assert [s.total for s in scores[0]] == [0.0, 0.0]


def test_an_answer_that_was_cut_counts_in_the_reference_with_its_tokens():
    scores = build_reward(EffortConfig())([asked("p", [300, 512], 75)], [verdicts([True, False])])
    assert [s.total for s in scores[0]] == [1.0, 0.0]


def test_the_references_are_means_over_the_group_or_over_the_question():
    groups = [asked("p", [10, 30], 50), asked("q", [100], 50), asked("p", [80], 100)]
    assert group_means(groups) == [20.0, 100.0, 80.0]
    assert question_means(groups) == [40.0, 100.0, 40.0]


def test_the_question_counts_at_every_effort_the_group_alone_at_its_own():
    groups = [asked("p", [10, 30], 75), asked("p", [80], 100)]
    assert totals(build_reward(EffortConfig()), *groups) == [[1.0, 1.0], [0.0]]
    assert totals(build_group(GroupEffortConfig()), *groups) == [[1.0, 0.0], [1.0]]


def test_the_moving_average_is_that_of_earlier_visits():
    memory = PromptMemory()
    reward = build_moving(MovingEffortConfig(decay=0.75), memory)
    assert totals(reward, asked("p", [80, 120], 100)) == [[1.0, 0.0]]
    assert memory.get("p") == {"effort_tokens": 100.0}
    assert totals(reward, asked("p", [60, 60], 60), asked("q", [7], 100)) == [[1.0, 1.0], [1.0]]
    assert memory.get("p") == {"effort_tokens": 90.0}
    assert memory.get("q") == {"effort_tokens": 7.0}
    assert totals(reward, asked("p", [90, 91], 100)) == [[1.0, 0.0]]


def test_groups_of_one_question_are_scored_alike_and_averaged_in_turn():
    memory = PromptMemory()
    memory.update("p", {"effort_tokens": 100.0})
    reward = build_moving(MovingEffortConfig(decay=0.5), memory)
    groups = [asked("p", [40], 100), asked("p", [100], 100)]
    assert totals(reward, *groups) == [[1.0], [1.0]]
    assert memory.get("p") == {"effort_tokens": 85.0}


def test_a_restored_average_scores_as_the_one_that_was_saved():
    original, restored = PromptMemory(), PromptMemory()
    totals(build_moving(MovingEffortConfig(), original), asked("p", [80, 120], 100))
    restored.load(json.loads(json.dumps(original.state())))
    groups = [asked("p", [50, 51], 50)]
    expected = totals(build_moving(MovingEffortConfig(), original), *groups)
    assert totals(build_moving(MovingEffortConfig(), restored), *groups) == expected == [[1.0, 0.0]]
    assert restored.state() == original.state()


@pytest.mark.parametrize("config", [EffortConfig(), GroupEffortConfig(), MovingEffortConfig()])
def test_efforts_are_what_these_rewards_score(config):
    assert config.scored_budgets() == {BudgetKind.EFFORT}
    assert config.problems() == []


@pytest.mark.parametrize("decay", [-0.1, 1.0])
def test_a_decay_that_is_none_is_a_problem(decay):
    (problem,) = MovingEffortConfig(decay=decay).problems()
    assert problem == f"reward.decay={decay}: set 0 <= reward.decay < 1"
    assert MovingEffortConfig(decay=0).problems() == []
