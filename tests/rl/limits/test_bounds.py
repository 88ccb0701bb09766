import pytest

from rl.limits.bounds import BoundedLimitConfig


def test_the_upper_bound_is_what_the_run_has_room_for_unless_it_is_set():
    assert BoundedLimitConfig().shortest_tokens == 1
    assert BoundedLimitConfig(max_response_tokens=512).longest == 512
    assert BoundedLimitConfig(max_response_tokens=512, longest_tokens=160).longest == 160


@pytest.mark.parametrize(
    ("longest", "shortest"), [(0, 1), (0, 512), (512, 512), (160, 160), (1, 1)]
)
def test_bounds_within_the_runs_room_are_no_problem(longest, shortest):
    config = BoundedLimitConfig(
        max_response_tokens=512, longest_tokens=longest, shortest_tokens=shortest
    )
    assert config.problems() == []


@pytest.mark.parametrize("longest", [-1, 513])
def test_an_upper_bound_beyond_the_runs_room_is_a_problem(longest):
    config = BoundedLimitConfig(max_response_tokens=512, longest_tokens=longest)
    assert config.problems() == [
        f"limit.longest_tokens={longest} with limit.max_response_tokens=512: the run has no room "
        "for more; set 0 (the same) up to limit.max_response_tokens"
    ]


@pytest.mark.parametrize(("longest", "shortest"), [(160, 0), (160, 161), (0, 513)])
def test_a_lower_bound_outside_one_to_the_upper_one_is_a_problem(longest, shortest):
    config = BoundedLimitConfig(
        max_response_tokens=512, longest_tokens=longest, shortest_tokens=shortest
    )
    assert config.problems() == [
        f"limit.shortest_tokens={shortest}: set 1 up to the upper bound, which is {longest or 512}"
    ]


def test_no_room_at_all_is_a_problem():
    [problem] = BoundedLimitConfig(max_response_tokens=-1, longest_tokens=-1).problems()[:1]
    assert problem.startswith("limit.max_response_tokens=-1: ")
