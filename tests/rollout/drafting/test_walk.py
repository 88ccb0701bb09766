import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.drafting.suffix_index import NO_TOKEN
from rollout.drafting.walk import age_weights, vote, walk


def walked(continuations, weights, budget=9, min_probability=0.1):
    (draft,), shares = walk(
        np.array([continuations], np.int32),
        np.array([weights], np.float64),
        np.array([budget]),
        min_probability,
    )
    assert len(shares) == len(draft)
    return draft


def test_largest_weight_wins_not_most_candidates():
    assert vote(np.array([5, 7, 5], np.int32), np.array([1.0, 3.0, 1.0])) == (7, 0.6)


def test_of_equal_totals_the_first_wins_and_no_weight_has_no_share():
    assert vote(np.array([5, 7], np.int32), np.array([1.0, 1.0])) == (5, 0.5)
    assert vote(np.array([5, 7], np.int32), np.array([0.0, 0.0])) == (NO_TOKEN, 0.0)


def test_age_weight_halves_per_bucket_of_doubling_width():
    ages = age_weights(np.array([0, 1, 2, 3, 6, 7, -4]))
    assert ages.tolist() == [1, 1 / 2, 1 / 2, 1 / 4, 1 / 4, 1 / 8, 1]


def test_walk_ends_where_the_product_of_shares_is_too_small():
    """Shares 1, 2/3, then 1/2: products 1, 2/3, 1/3."""
    continuations = [[1, 2, 3], [1, 2, 4], [1, 5, NO_TOKEN]]
    assert walked(continuations, [1, 1, 1], min_probability=0.5) == [1, 2]
    assert walked(continuations, [1, 1, 1], min_probability=0.3) == [1, 2, 3]


def test_walk_follows_only_those_who_agree_so_far():
    """After 1, two of three go on with 2; that both outvoted ones say 8 next does not count."""
    assert walked([[1, 2, 3], [1, 2, 3], [6, 8, 8], [1, 7, 8]], [1, 1, 1, 1], budget=3) == [1, 2, 3]


def test_shares_of_the_drafted_tokens_come_row_after_row():
    continuations = np.array([[[1, 2], [1, 3], [1, 3]], [[4, 5], [6, 7], [4, 5]]], np.int32)
    drafts, shares = walk(continuations, np.ones((2, 3)), np.array([2, 1]), 0.1)
    assert drafts == [[1, 3], [4]]
    assert shares.tolist() == [1, 2 / 3, 2 / 3]


def test_an_output_that_ends_has_no_say_in_what_follows():
    assert walked([[1, NO_TOKEN], [1, 4]], [9, 1], min_probability=0.9) == [1, 4]


@pytest.mark.parametrize(("budget", "draft"), [(0, []), (2, [1, 2]), (5, [1, 2, 3])])
def test_budget_bounds_the_draft(budget, draft):
    assert walked([[1, 2, 3]], [1], budget=budget) == draft


def slow_walk(continuations, weights, budget, min_probability):
    """One candidate after the other, totals in a dict."""
    draft, running = [], 1.0
    for step in range(min(budget, len(continuations[0]))):
        totals = {}
        for row, weight in zip(continuations, weights, strict=True):
            agrees = row[:step] == draft and row[step] != NO_TOKEN
            if agrees and weight:
                totals[row[step]] = totals.get(row[step], 0) + weight
        if not totals:
            break
        token = max(totals, key=totals.get)
        running *= totals[token] / sum(totals.values())
        if running < min_probability:
            break
        draft.append(token)
    return draft


@settings(max_examples=50)
@given(st.data())
def test_walk_equals_the_slow_one(data):
    tokens = st.lists(st.integers(0, 2), min_size=4, max_size=4)
    lengths = st.integers(0, 4)
    candidates = data.draw(st.lists(st.tuples(tokens, lengths), min_size=1, max_size=6))
    continuations = [row[:length] + [NO_TOKEN] * (4 - length) for row, length in candidates]
    # Powers of two: every total is another one, and sums are exact.
    weights = [data.draw(st.sampled_from([0, 2**i])) for i in range(len(candidates))]
    budget = data.draw(st.integers(0, 5))
    assert walked(continuations, weights, budget, 0.3) == slow_walk(
        continuations, weights, budget, 0.3
    )
