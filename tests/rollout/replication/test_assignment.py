import itertools

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.replication.assignment import Assignment, Task


def tasks_of(tokens, *, size=1):
    """Groups p0, p1, ... of `size` requests with `tokens` each."""
    return [
        Task(request=f"p{group}/{index}", prompt=f"p{group}", tokens=each)
        for group, each in enumerate(tokens)
        for index in range(size)
    ]


def test_longest_groups_are_placed_first_each_where_least_is_to_do():
    """7 | 6 5 would be in order of arrival 3 6 | 5 7: sorted it is 7 3 | 6 5."""
    assignment = Assignment(2)
    assert assignment.place(tasks_of([3, 6, 5, 7]), [0, 1]) == [0, 1, 1, 0]
    assert assignment.loads == [10, 11]


def test_a_group_stays_together_and_counts_whole():
    assignment = Assignment(2)
    places = assignment.place(tasks_of([4, 3, 3], size=2), [0, 1])
    assert places == [0, 0, 1, 1, 1, 1]
    assert assignment.loads == [8, 12]


def test_a_later_request_of_a_running_prompt_joins_its_group():
    assignment = Assignment(2)
    assignment.place(tasks_of([9, 1]), [0, 1])
    later = Task(request="p0/late", prompt="p0", tokens=5)
    assert assignment.place([later], [0, 1]) == [0]


def test_a_prompt_is_free_again_when_its_last_request_has_ended():
    assignment = Assignment(2)
    assignment.place(tasks_of([9, 1]), [0, 1])
    next_epoch = Task(request="p1/again", prompt="p1", tokens=1)
    assignment.ended("p0/0")
    assignment.ended("p1/0")
    assert assignment.place([next_epoch], [0, 1]) == [0]


def test_a_prompt_whose_replica_may_not_be_used_moves_and_later_requests_follow_it():
    assignment = Assignment(3)
    assignment.place(tasks_of([5]), [0, 1, 2])
    again = [Task(request=f"p0/{index}", prompt="p0", tokens=5) for index in ("a", "b")]
    assert assignment.place(again[:1], [1, 2]) == [1]
    assert assignment.place(again[1:], [0, 1, 2]) == [1]


def test_a_request_that_ended_twice_counts_once():
    assignment = Assignment(1)
    assignment.place(tasks_of([5, 3]), [0])
    assignment.ended("p0/0")
    assignment.ended("p0/0")
    assert assignment.loads == [3]


@settings(max_examples=50)
@given(st.lists(st.integers(1, 30), min_size=1, max_size=6), st.integers(1, 3))
def test_the_busiest_replica_is_within_grahams_bound_of_the_best_assignment(tokens, num_replicas):
    assignment = Assignment(num_replicas)
    assignment.place(tasks_of(tokens), range(num_replicas))
    best = min(
        max(
            sum(each for each, at in zip(tokens, places, strict=True) if at == replica)
            for replica in range(num_replicas)
        )
        for places in itertools.product(range(num_replicas), repeat=len(tokens))
    )
    assert 3 * num_replicas * max(assignment.loads) <= (4 * num_replicas - 1) * best


@settings(max_examples=50)
@given(
    st.lists(st.tuples(st.integers(0, 4), st.integers(0, 50)), max_size=30),
    st.lists(st.integers(0, 29), max_size=30),
    st.sets(st.integers(0, 3), min_size=1),
)
def test_loads_are_those_of_the_requests_that_run(arrivals, endings, usable):
    assignment, placed = Assignment(4), {}
    for number, (group, tokens) in enumerate(arrivals):
        task = Task(request=f"r{number}", prompt=f"p{group}", tokens=tokens)
        (replica,) = assignment.place([task], usable)
        placed[task.request] = replica, tokens
        assert replica in usable
    for number in endings:
        assignment.ended(f"r{number}")
        placed.pop(f"r{number}", None)
    wanted = [0] * 4
    for replica, tokens in placed.values():
        wanted[replica] += tokens
    assert assignment.loads == wanted
