import numpy as np
import pytest

from rollout.drafting.cold_start import next_length, tried_length


@pytest.mark.parametrize(
    ("length", "accepted", "verified", "wanted"),
    [
        (4, [1, 4], [4, 4], 6),
        (7, [7], [7], 8),
        (4, [1, 3], [4, 4], 3),
        (1, [0], [1], 1),
        (4, [0, 0], [0, 0], 4),
        (4, [-1, 0], [4, 0], 3),
    ],
)
def test_length_grows_by_two_after_full_acceptance_and_else_shrinks(
    length, accepted, verified, wanted
):
    assert next_length(length, np.array(accepted), np.array(verified)) == wanted


def test_tried_lengths_halve_in_turn():
    assert [tried_length(7, step) for step in range(5)] == [7, 3, 1, 1, 7]
