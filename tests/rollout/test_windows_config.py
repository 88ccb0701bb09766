import pytest

from rollout.windows_config import Cut, SchedulingConfig, WindowsConfig


def test_defaults_are_sound():
    assert WindowsConfig().problems() == WindowsConfig().problems_with(1) == []
    assert SchedulingConfig().problems() == []


def test_a_negative_window_is_a_problem():
    (problem,) = WindowsConfig(window_tokens=-1).problems()
    assert problem == "rollout.windows.window_tokens=-1: set it to 0 or more"


@pytest.mark.parametrize("window", [8192, 9000])
def test_a_window_that_no_response_outgrows_is_a_problem(window):
    (problem,) = WindowsConfig(window_tokens=window).problems_with(8192)
    assert "every response ends in its first window; set a smaller window" in problem
    assert WindowsConfig(window_tokens=8191).problems_with(8192) == []


def test_factors_below_one_and_without_rounds_are_problems():
    (problem,) = SchedulingConfig(group_factor=0.9).problems()
    assert problem == "rollout.scheduling.group_factor=0.9: set it to 1 or more"
    (problem,) = SchedulingConfig(sample_factor=1.5, cut=Cut.partial).problems()
    assert "set rollout.scheduling.cut=tail_rounds, or sample_factor=1" in problem
    assert SchedulingConfig(sample_factor=1.5, cut=Cut.tail_rounds).problems() == []
