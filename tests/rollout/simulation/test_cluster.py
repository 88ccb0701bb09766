from rollout.simulation.cluster import as_drawn, longest_first, pinned, spread


def test_orders():
    assert list(as_drawn([3.0, 9.0, 5.0])) == [0, 1, 2]
    assert list(longest_first([3.0, 9.0, 5.0, 9.0])) == [1, 3, 2, 0]


def test_a_pinned_group_goes_whole_to_the_least_load():
    assert pinned([5.0, 2.0, 2.0], 3) == [1, 1, 1]


def test_a_spread_group_goes_around_from_the_least_load():
    assert spread([5.0, 1.0, 2.0], 5) == [1, 2, 0, 1, 2]
