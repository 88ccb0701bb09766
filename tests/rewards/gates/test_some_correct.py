from rewards.compose import gated, with_length
from rewards.gates.some_correct import SomeCorrectConfig, build_gate
from tests.rewards.groups import group, verdicts

GATE = build_gate(SomeCorrectConfig(), seed=0)


def test_one_correct_answer_is_enough():
    groups = [group("none", [5, 5]), group("one", [5, 5]), group("all", [5, 5])]
    judged = [verdicts([False, False]), verdicts([False, True]), verdicts([True, True])]
    assert GATE(groups, judged) == [False, True, True]


def test_an_all_wrong_group_is_not_ranked_by_length():
    reward = gated(with_length(lambda lengths, correct: [-float(n) for n in lengths]), GATE)
    groups = [group("none", [5, 9]), group("one", [5, 9])]
    scores = reward(groups, [verdicts([False, False]), verdicts([True, False])])
    assert [[s.total for s in row] for row in scores] == [[0.0, 0.0], [-4.0, -9.0]]
