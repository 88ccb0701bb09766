import pytest

from rl.config import Schedule
from rl.learner.schedule import learning_rate


def rates(schedule: Schedule, warmup: int, total: int) -> list[float]:
    return [learning_rate(update, 8.0, schedule, warmup, total) for update in range(total)]


def test_warm_up_rises_in_equal_steps_to_the_peak() -> None:
    assert rates(Schedule.constant, 4, 6) == [2, 4, 6, 8, 8, 8]


def test_linear_falls_to_zero_at_the_end_of_training() -> None:
    assert rates(Schedule.linear, 0, 4) == [8, 6, 4, 2]
    assert learning_rate(4, 8.0, Schedule.linear, 0, 4) == 0


def test_decay_starts_at_the_peak_after_warm_up() -> None:
    assert rates(Schedule.linear, 2, 6) == [4, 8, 8, 6, 4, 2]


def test_cosine_is_half_way_at_half_time() -> None:
    assert rates(Schedule.cosine, 0, 4)[::2] == [8, 4]
    assert learning_rate(1, 8.0, Schedule.cosine, 0, 4) == pytest.approx(4 + 4 * 2**-0.5)


def test_steps_beyond_the_plan_keep_the_last_rate() -> None:
    assert learning_rate(9, 8.0, Schedule.linear, 0, 4) == 0
    assert learning_rate(9, 8.0, Schedule.constant, 0, 4) == 8


def test_warm_up_longer_than_training_is_possible() -> None:
    assert rates(Schedule.linear, 8, 2) == [1, 2]
