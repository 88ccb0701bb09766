import pytest

from rollout.config import VllmConfig


def test_the_defaults_are_right():
    assert VllmConfig().problems() == []


@pytest.mark.parametrize("option", ["start_seconds", "hang_seconds", "restart_window_seconds"])
def test_patience_is_a_positive_time(option):
    (problem,) = VllmConfig(**{option: 0.0}).problems()
    assert problem == f"rollout.{option}=0.0: set it above 0"


def test_no_restart_is_a_choice_and_fewer_are_not():
    assert VllmConfig(max_restarts=0).problems() == []
    (problem,) = VllmConfig(max_restarts=-1).problems()
    assert problem.startswith("rollout.max_restarts=-1")
