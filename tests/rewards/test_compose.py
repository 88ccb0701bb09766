import pytest

from data.types import Verdict
from rewards.compose import correctness, gated, score, with_group_term, with_length
from rewards.correct import CorrectConfig, build_reward
from tests.rewards.groups import group, verdicts

GROUPS = [group("a", [10, 20]), group("b", [30, 40])]
VERDICTS = [verdicts([True, False]), verdicts([True, True])]


def tenth(lengths, correct):
    return [-n / 100 for n in lengths]


def test_a_score_is_the_sum_of_its_parts():
    scored = score(True, length=-0.25, style=0.5)
    assert scored.parts == {"correct": 1.0, "length": -0.25, "style": 0.5}
    assert scored.total == 1.25
    assert scored.correct


def test_a_length_term_sees_one_group_at_a_time():
    seen = []

    def term(lengths, correct):
        seen.append((lengths, correct))
        return [0.0] * len(lengths)

    with_length(term)(GROUPS, VERDICTS)
    assert seen == [([10, 20], [True, False]), ([30, 40], [True, True])]


def test_a_group_term_sees_the_whole_group():
    seen = []

    def term(group, correct):
        seen.append((group, correct))
        return [0.25] * len(correct)

    scores = with_group_term(term)(GROUPS, VERDICTS)
    assert seen == [(GROUPS[0], [True, False]), (GROUPS[1], [True, True])]
    assert [[s.parts["length"] for s in row] for row in scores] == [[0.25, 0.25]] * 2


def test_a_term_owes_every_completion_a_value():
    with pytest.raises(ValueError, match="zip"):
        with_group_term(lambda group, correct: [0.0])(GROUPS, VERDICTS)


def test_correctness_and_length_are_added():
    scores = with_length(tenth)(GROUPS, VERDICTS)
    assert [[s.total for s in row] for row in scores] == [[0.9, -0.2], [0.7, 0.6]]


def test_a_gate_takes_the_length_part_and_nothing_else():
    scores = gated(with_length(tenth), lambda groups, judged: [False, True])(GROUPS, VERDICTS)
    assert [s.parts for s in scores[0]] == [
        {"correct": 1.0, "length": 0.0},
        {"correct": 0.0, "length": 0.0},
    ]
    assert [s.total for s in scores[0]] == [1.0, 0.0]
    assert [s.total for s in scores[1]] == [0.7, 0.6]


def test_a_gate_leaves_other_parts_of_a_users_reward_alone():
    def reward(groups, judged):
        return [[score(True, length=-0.5, style=0.25) for _ in g.completions] for g in groups]

    scores = gated(reward, lambda groups, judged: [False, False])(GROUPS, VERDICTS)
    assert scores[0][0].parts == {"correct": 1.0, "length": 0.0, "style": 0.25}
    assert scores[0][0].total == 1.25


def test_the_plain_reward_is_correctness_alone():
    scores = build_reward(CorrectConfig())(GROUPS, VERDICTS)
    assert [[s.total for s in row] for row in scores] == [[1.0, 0.0], [1.0, 1.0]]
    assert scores[0][0].parts == {"correct": 1.0}


def test_a_failed_grade_never_becomes_a_score():
    with pytest.raises(AssertionError, match="failed grades"):
        correctness([[Verdict(correct=None)]])
