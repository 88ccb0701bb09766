import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.trees.divergence import (
    as_held,
    even_shares,
    largest_remainders,
    last_mean_logprob,
    mean_logprob,
    to_likely,
    to_unlikely,
    total_logprob,
)
from tests.rollout.tree_builders import path, segment

SURE, UNSURE = segment("a", [1, 1], logprob=0.0), segment("b", [2, 2], logprob=-2.0)
"""Total log-probs 0 and -4, means 0 and -2."""


def test_even_shares_spread_the_remainder():
    # TreePO's released code gives it all to the last path: 1, 1, ..., 1, 8
    assert even_shares(16, 9) == [2, 2, 2, 2, 2, 2, 2, 1, 1]


def test_largest_fractions_get_what_rounding_down_leaves():
    # 7 * (0.5, 0.3, 0.2) = 3.5, 2.1, 1.4
    assert largest_remainders(7, [5, 3, 2]) == [4, 2, 1]


def test_even_dealing_leaves_every_path_what_it_holds():
    assert as_held([path(leaves=3), path(leaves=1)]) == [3, 1]


def test_scores_of_two_segments():
    both = (SURE, UNSURE)
    assert total_logprob(both) == -4
    assert mean_logprob(both) == -1
    assert last_mean_logprob(both) == -2


@pytest.mark.parametrize(("deal", "expected"), [(to_unlikely, [2, 6]), (to_likely, [6, 2])])
def test_softmax_of_the_mean_log_prob_deals_what_each_does_not_need_itself(deal, expected):
    # two leaves are taken by the two paths; 6 * sigmoid(2) = 5.3 of the other six go to the one
    paths = [path(SURE, leaves=4), path(UNSURE, leaves=4)]
    assert deal(paths, score=mean_logprob, temperature=1.0) == expected


def test_hot_softmax_deals_evenly():
    paths = [path(SURE, leaves=7), path(UNSURE, leaves=1)]
    assert to_unlikely(paths, score=total_logprob, temperature=1e6) == [4, 4]


def test_total_log_probs_of_long_responses_do_not_overflow():
    paths = [path(segment("a", [1] * 4000, logprob=-2.0), leaves=4), path(SURE, leaves=4)]
    assert to_unlikely(paths, score=total_logprob, temperature=1.0) == [7, 1]


def test_paths_that_continue_one_segment_share_its_weight():
    paths = [path(SURE, leaves=3), path(SURE, leaves=3), path(segment("c", [3], logprob=0.0))]
    # four leaves to deal: two to the pair, two to the other one, which is known to be as likely
    assert to_likely(paths, score=mean_logprob, temperature=1.0) == [2, 2, 3]


def test_path_of_which_nothing_is_known_stands_at_the_mean():
    paths = [path(UNSURE, leaves=3), path(leaves=3)]
    assert to_unlikely(paths, score=mean_logprob, temperature=1.0) == [3, 3]


@given(
    st.lists(st.tuples(st.integers(1, 9), st.floats(-3, 0)), min_size=1, max_size=8),
    st.sampled_from([to_unlikely, to_likely]),
    st.floats(0.1, 10),
)
def test_dealing_keeps_the_sum_and_leaves_no_path_without(made, deal, temperature):
    paths = [
        path(segment(f"s{n}", [n], logprob=logprob), leaves=leaves)
        for n, (leaves, logprob) in enumerate(made)
    ]
    dealt = deal(paths, score=mean_logprob, temperature=temperature)
    assert sum(dealt) == sum(leaves for leaves, _ in made) and min(dealt) >= 1


@given(st.integers(0, 50), st.lists(st.floats(0.01, 10), min_size=1, max_size=9))
def test_no_share_is_a_whole_one_off_its_proportion(total, weights):
    shares = largest_remainders(total, weights)
    assert sum(shares) == total
    for share, weight in zip(shares, weights, strict=True):
        assert abs(share - total * weight / sum(weights)) < 1 + 1e-9
