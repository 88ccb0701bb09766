import numpy as np
import pytest

from rollout.drafting.step_times import FEWEST_STEPS, StepTimes, linear_model, nearest_cell


@pytest.mark.parametrize(
    ("rows", "drafts", "cell"),
    [(1, 0, (1, 0)), (6, 0, (8, 0)), (5, 5, (4, 1)), (64, 1, (64, 1)), (100, 990, (128, 8))],
)
def test_a_step_lies_in_the_nearest_cell(rows, drafts, cell):
    assert nearest_cell(rows, drafts) == cell


def test_a_linear_time_is_found():
    steps = [(b, n, 0.1 + 0.02 * b + 0.01 * n) for b in (1, 8, 64) for n in (0, b, 4 * b)]
    np.testing.assert_allclose(linear_model(np.array(steps)), [0.1, 0.02, 0.01], atol=1e-9)


def test_there_is_no_table_before_plain_and_drafting_steps_are_measured():
    times = StepTimes()
    for _ in range(FEWEST_STEPS):
        assert times.table() is None
        times.observe(4, 0, 1.0)
    for _ in range(FEWEST_STEPS):
        assert times.table() is None
        times.observe(4, 8, 1.2)
    assert times.table() is not None


def test_the_table_holds_medians_and_the_models_value_elsewhere():
    times = StepTimes()
    for noise in (1.0, 1.0, 1.0, 50.0) * 2:
        times.observe(8, 0, 1.0 * noise)
        times.observe(8, 32, 3.0 * noise)
        times.observe(8, 128, 9.0)
    curve = times.table().curve(8, 128)
    assert curve[0] == pytest.approx(1.0) and curve[32] == pytest.approx(3.0)
    assert curve[128] == pytest.approx(9.0)
    assert 1.0 < curve[16] < 3.0


def test_the_table_never_falls_with_the_drafts():
    times = StepTimes()
    for _ in range(FEWEST_STEPS):
        times.observe(4, 0, 2.0)
        times.observe(4, 4, 1.0)
        times.observe(4, 16, 3.0)
    assert np.all(np.diff(times.table().curve(4, 64)) >= 0)


def test_new_steps_replace_old_ones():
    times = StepTimes()
    for seconds in (5.0, 1.0):
        for _ in range(100):
            times.observe(2, 0, seconds)
            times.observe(2, 4, 2 * seconds)
    assert times.table().curve(2, 4)[0] == pytest.approx(1.0)
