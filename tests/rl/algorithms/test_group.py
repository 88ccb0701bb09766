from rl.algorithms.group import per_group


def test_a_formula_of_one_group_is_applied_to_each() -> None:
    advantages = per_group(lambda rewards: [reward - rewards[0] for reward in rewards])
    assert advantages([[1.0, 2.0], [5.0, 5.0, 8.0]]) == [[0.0, 1.0], [0.0, 0.0, 3.0]]
