from rl.algorithms.group import per_group, totals
from tests.rl.algorithms.scored import in_parts, scored


def test_a_formula_of_one_group_is_applied_to_each() -> None:
    advantages = per_group(lambda rewards: [reward - rewards[0] for reward in rewards])
    assert advantages(*scored([[1.0, 2.0], [5.0, 5.0, 8.0]])) == [[0.0, 1.0], [0.0, 0.0, 3.0]]


def test_the_total_of_a_score_is_what_counts() -> None:
    assert totals(in_parts([[{"correct": 1.0, "length": -0.25}], [{"correct": 0.0}]])) == [
        [0.75],
        [0],
    ]
