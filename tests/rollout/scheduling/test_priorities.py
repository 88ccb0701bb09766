import heapq
import itertools
import random
from statistics import fmean

from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.config import Order
from rollout.scheduling.priorities import (
    CONTINUED_BAND,
    RANKS,
    RANKS_PER_STEP,
    continued,
    in_step,
    longest_first,
    shortest_first,
)

LENGTHS = [64 * n for n in (3, 7, 1, 9, 4, 4, 2, 8)]


def makespan(lengths, lanes):
    """When the last one ends, if each begins on the lane that is free first, in this order."""
    free_at = [0] * lanes
    for length in lengths:
        heapq.heappush(free_at, heapq.heappop(free_at) + length)
    return max(free_at)


def shortest_makespan(lengths, lanes):
    """The least over all assignments."""
    return min(
        max(sum(n for n, lane in zip(lengths, where, strict=True) if lane == one) for one in where)
        for where in itertools.product(range(lanes), repeat=len(lengths))
    )


def in_order(lengths, priority):
    """Lowest number first, equal ones in their order."""
    return sorted(lengths, key=priority)


def test_long_ones_go_first_or_short_ones_do():
    assert in_order(LENGTHS, longest_first) == sorted(LENGTHS, reverse=True)
    assert in_order(LENGTHS, shortest_first) == sorted(LENGTHS)


def test_lengths_within_a_rank_keep_their_order():
    assert in_order([1000, 1010, 990], longest_first) == [1000, 1010, 990]


def test_every_order_has_its_rank_and_without_one_prompts_stay_as_drawn():
    assert {order: rank(640.0) for order, rank in RANKS.items()} == {
        Order.none: 0,
        Order.longest_first: -10,
        Order.shortest_first: 10,
    }
    assert set(RANKS) == set(Order)


def test_priority_is_the_step_and_within_it_the_rank():
    assert in_step(0, 0) == 0
    assert in_step(3, -10) == 3 * 65536 - 10
    assert in_step(1, -(10**9)) == 65536 - 32768
    assert in_step(1, 10**9) == 65536 + 32767


@given(st.integers(0, 10**6), st.integers(), st.integers())
def test_what_an_earlier_step_submitted_runs_first_whatever_its_length(step, rank, other):
    assert in_step(step, rank) < in_step(step + 1, other)


def test_continuations_precede_the_shortest_and_the_longest_alike():
    last = in_step(10**6, RANKS_PER_STEP)
    assert continued(last) < in_step(0, longest_first(10**9))
    assert continued(-3) == -3 - CONTINUED_BAND


def test_worst_case_of_longest_first_meets_its_bound():
    """Graham's example on two lanes: 3 3 2 2 2 takes 7 where 6 is possible: 4/3 - 1/6 = 7/6."""
    lengths = [64 * n for n in (3, 3, 2, 2, 2)]
    assert makespan(in_order(lengths, longest_first), 2) == 64 * 7
    assert shortest_makespan(lengths, 2) == 64 * 6


@settings(max_examples=60, deadline=None)
@given(st.lists(st.integers(1, 20), min_size=1, max_size=6), st.integers(2, 3))
def test_longest_first_stays_within_grahams_bound(ranks, lanes):
    lengths = [64 * rank for rank in ranks]
    bound = (4 / 3 - 1 / (3 * lanes)) * shortest_makespan(lengths, lanes)
    assert makespan(in_order(lengths, longest_first), lanes) <= bound + 1e-9


def test_longest_first_ends_a_heavy_tailed_step_sooner_than_other_orders():
    """Steps of 64 lognormal lengths on 16 lanes, in the order of arrival and in both orders."""
    rng = random.Random(0)
    steps = [[round(rng.lognormvariate(6, 1)) for _ in range(64)] for _ in range(200)]

    def mean_makespan(order):
        return fmean(makespan(order(step), 16) for step in steps)

    longest = mean_makespan(lambda step: in_order(step, longest_first))
    arrival = mean_makespan(list)
    shortest = mean_makespan(lambda step: in_order(step, shortest_first))
    assert longest < arrival < shortest
