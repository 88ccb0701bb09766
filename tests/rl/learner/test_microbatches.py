import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import TokenIds
from rl.learner.batch import TokenRow
from rl.learner.microbatches import (
    PASS_TOKENS,
    bundles,
    filled,
    forest_metrics,
    packed,
    padding_metrics,
    plan_forests,
    plan_microbatches,
)
from rl.learner.prefix_forest import num_distinct

LENGTHS = st.lists(st.integers(1, 100), max_size=40)


def test_rows_of_similar_length_share_a_microbatch() -> None:
    # Longest first: 9 alone (2 x 9 > 16), then 4 and 4 and 3 (3 x 4 <= 16).
    assert plan_microbatches([4, 9, 3, 4], num_ranks=1, max_tokens=16) == [[[1], [0, 3, 2]]]


def test_ranks_are_balanced_by_tokens() -> None:
    # 8 | 5, then 4 to the lighter, then 3: 11 and 9 tokens.
    assert plan_microbatches([5, 8, 3, 4], num_ranks=2, max_tokens=100) == [[[1, 2]], [[0, 3]]]


def test_a_rank_without_rows_gets_empty_microbatches() -> None:
    assert plan_microbatches([5], num_ranks=2, max_tokens=10) == [[[0]], [[]]]


def test_a_row_beyond_the_budget_is_alone() -> None:
    assert plan_microbatches([50, 2, 2], num_ranks=1, max_tokens=10) == [[[0], [1, 2]]]


def test_the_budget_may_be_used_to_the_last_token() -> None:
    assert plan_microbatches([5, 5, 5], num_ranks=1, max_tokens=10) == [[[0], [1, 2]]]


def test_long_rows_run_apart_from_short_ones_where_padding_costs_more_than_a_pass() -> None:
    # Together 4 x 2000 = 8000 tokens; apart 2000 + 3 x 100 and one pass more, of 512.
    assert packed([0, 1, 2, 3], [2000, 100, 100, 90], 16384) == [[0], [1, 2, 3]]
    # Together 4 x 200 = 800; apart 200 + 3 x 100 + 512 = 1012.
    assert packed([0, 1, 2, 3], [200, 100, 100, 90], 16384) == [[0, 1, 2, 3]]


def slowest_cost(lengths: list[int], max_tokens: int) -> int:
    """The least cost over all cuts of `lengths`, longest first, tried one by one."""
    costs = []
    for cuts in itertools.product([False, True], repeat=len(lengths) - 1):
        bounds = [0, *(i for i, cut in enumerate(cuts, start=1) if cut), len(lengths)]
        runs = [lengths[a:b] for a, b in itertools.pairwise(bounds)]
        if all(len(run) == 1 or len(run) * run[0] <= max_tokens for run in runs):
            costs.append(sum(len(run) * run[0] + PASS_TOKENS for run in runs))
    return min(costs)


@given(st.lists(st.integers(1, 3000), min_size=1, max_size=9), st.integers(1, 9000))
def test_no_cut_costs_less(lengths: list[int], max_tokens: int) -> None:
    lengths.sort(reverse=True)
    plan = packed(range(len(lengths)), lengths, max_tokens)
    cost = sum(len(micro) * lengths[micro[0]] + PASS_TOKENS for micro in plan)
    assert cost == slowest_cost(lengths, max_tokens)


@given(LENGTHS, st.integers(1, 5), st.integers(1, 200))
def test_every_row_runs_once_within_the_budget(
    lengths: list[int], num_ranks: int, max_tokens: int
) -> None:
    plans = plan_microbatches(lengths, num_ranks, max_tokens)
    assert len(plans) == num_ranks
    assert len({len(plan) for plan in plans}) == 1
    rows = [row for plan in plans for micro in plan for row in micro]
    assert sorted(rows) == list(range(len(lengths)))
    for plan in plans:
        for micro in plan:
            cost = len(micro) * max((lengths[row] for row in micro), default=0)
            assert cost <= max_tokens or len(micro) == 1


@given(LENGTHS, st.integers(1, 5))
def test_ranks_differ_by_one_row_at_most(lengths: list[int], num_ranks: int) -> None:
    plans = plan_microbatches(lengths, num_ranks, max_tokens=10**9)
    loads = [sum(lengths[row] for micro in plan for row in micro) for plan in plans]
    assert max(loads) - min(loads) <= max(lengths, default=0)


def token_rows(rows: list[list[int]]) -> list[TokenIds]:
    return [np.array(row, np.int32) for row in rows]


def test_a_group_runs_together_and_counts_its_prompt_once() -> None:
    # Two groups of three rows: prompts of 4 tokens, responses of 2, so 10 tokens a group. 10 fit.
    rows = token_rows([[group] * 4 + [n, n] for n in (7, 8, 9) for group in (1, 2)])
    plan = plan_forests(rows, [1, 2] * 3, num_ranks=1, max_tokens=10)
    assert plan == [[[0, 2, 4], [1, 3, 5]]]
    assert plan_forests(rows, [1, 2] * 3, num_ranks=1, max_tokens=20) == [[[0, 2, 4, 1, 3, 5]]]


def test_a_group_that_is_too_large_is_cut_and_computes_its_prompt_again() -> None:
    # 4 + 2 + 2 = 8 tokens; the third row would make 10.
    rows = token_rows([[1] * 4 + [n, n] for n in (7, 8, 9)])
    assert bundles(rows, [0] * 3, max_tokens=9) == [([0, 1], 8), ([2], 6)]
    assert bundles(rows, [0] * 3, max_tokens=5) == [([0], 6), ([1], 6), ([2], 6)]


def test_one_group_is_spread_where_a_rank_would_have_nothing_to_do() -> None:
    # 10 tokens in all, an even share is 5: no rows can be together, and the first rank takes two.
    rows = token_rows([[1] * 4 + [n, n] for n in (7, 8, 9)])
    assert plan_forests(rows, [0] * 3, num_ranks=2, max_tokens=100) == [[[0, 2]], [[1]]]


def test_each_part_goes_where_there_is_room_first() -> None:
    assert filled([2, 0, 1, 3], [5, 4, 7, 3], max_tokens=10) == [[2, 3], [0, 1]]


@given(
    st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=9), max_size=15),
    st.integers(1, 4),
    st.integers(1, 30),
    st.data(),
)
def test_every_row_runs_once_within_the_budget_of_distinct_tokens(
    rows: list[list[int]], num_ranks: int, max_tokens: int, data: st.DataObject
) -> None:
    arrays = token_rows(rows)
    groups = [data.draw(st.integers(0, 2)) for _ in rows]
    plans = plan_forests(arrays, groups, num_ranks, max_tokens)
    assert len(plans) == num_ranks
    assert len({len(plan) for plan in plans}) == 1
    micros = [micro for plan in plans for micro in plan]
    assert sorted(row for micro in micros for row in micro) == list(range(len(rows)))
    for micro in micros:
        assert len(micro) == 1 or num_distinct([arrays[row] for row in micro]) <= max_tokens


def test_metrics_count_padding_or_what_is_shared() -> None:
    # Of 6 + 4 tokens in one pass, 2 are padding beside them, or 3 are the same.
    rows = [token_row([1, 1, 1, 2, 2, 2]), token_row([1, 1, 1, 3])]
    plans = [[[[0, 1]]]]
    padding = padding_metrics([rows], plans)
    assert padding == {"microbatches": 1.0, "padding_share": pytest.approx(2 / 12)}
    shared = {"microbatches": 1.0, "padding_share": 0.0, "shared_share": pytest.approx(3 / 10)}
    assert forest_metrics([rows], plans) == shared


def token_row(token_ids: list[int]) -> TokenRow:
    mask = np.ones(len(token_ids) - 1, np.bool_)
    return TokenRow(token_ids=np.array(token_ids, np.int32), prompt_length=1, mask=mask)
