import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.drafting.step_cost import StepCostTable, interpolated, isotonic

VALUES = st.lists(st.floats(-10, 10), min_size=1, max_size=8)


def test_a_dip_is_pooled_with_its_neighbours():
    pooled = isotonic(np.array([1.0, 4.0, 2.0, 5.0]), np.array([1.0, 1.0, 3.0, 1.0]))
    # (4 * 1 + 2 * 3) / 4
    np.testing.assert_allclose(pooled, [1.0, 2.5, 2.5, 5.0])


def max_min(values):
    """The definition: max over starts of the min over ends of the mean (unit weights)."""
    num = len(values)
    return [
        max(min(np.mean(values[a:b]) for b in range(i + 1, num + 1)) for a in range(i + 1))
        for i in range(num)
    ]


@given(VALUES)
def test_isotonic_equals_its_max_min_definition(values):
    pooled = isotonic(np.array(values), np.ones(len(values)))
    np.testing.assert_allclose(pooled, max_min(values), atol=1e-9)


def test_interpolation_is_linear_between_and_beyond_and_constant_before():
    known, values = np.array([1.0, 2.0, 4.0]), np.array([10.0, 20.0, 30.0])
    got = interpolated(np.array([0.0, 1.5, 3.0, 6.0]), known, values)
    np.testing.assert_allclose(got, [10.0, 15.0, 25.0, 40.0])
    assert interpolated(9.0, np.array([1.0]), np.array([5.0])) == 5.0


@pytest.mark.parametrize("rows", [1, 3, 8, 20])
def test_a_linear_cost_is_met_exactly(rows):
    grid, drafts = np.array([1.0, 8.0]), np.array([0.0, 1.0, 4.0])
    seconds = 2 + 3 * grid[:, None] + 0.5 * grid[:, None] * drafts
    table = StepCostTable(rows=grid, drafts_per_row=drafts, seconds=seconds)
    wanted = 2 + 3 * rows + 0.5 * np.arange(6 * rows + 1)
    np.testing.assert_allclose(table.curve(rows, 6 * rows), wanted)
