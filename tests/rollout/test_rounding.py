from rollout.rounding import largest_remainder


def test_the_largest_fractions_round_up_and_the_first_of_equal_ones():
    assert largest_remainder([1.5, 2.2, 0.3]) == [2, 2, 0]
    assert largest_remainder([0.5, 0.5, 1.0]) == [1, 0, 1]
