from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rollout.scheduling.sample_counts import capped_shares, sample_counts


def test_samples_go_where_the_outcome_is_uncertain():
    """Variances 0, 1/4, 3/16, 0: beyond two each, 14 samples are shared out as 4 to 3."""
    assert sample_counts([0.0, 0.5, 0.25, 1.0], 22, least=2, most=16) == [2, 10, 8, 2]


def test_what_one_may_not_take_goes_to_the_others_in_proportion():
    assert sample_counts([0.5, 0.25, 0.25, 0.0], 20, least=2, most=6) == [6, 6, 6, 2]
    assert capped_shares([4, 3, 1], 12, 4) == [4, 4, 4]
    assert capped_shares([6, 3, 1], 10, 4) == [4, 4, 2]


def test_all_share_alike_where_nothing_is_uncertain():
    assert sample_counts([0.0, 1.0, 1.0], 12, least=0, most=8) == [4, 4, 4]


@pytest.mark.parametrize("total", [3, 25])
def test_a_total_that_the_bounds_do_not_allow_is_refused(total):
    with pytest.raises(ValueError, match=f"total={total}: 2 prompts with 2 to 12 samples"):
        sample_counts([0.5, 0.5], total, least=2, most=12)


@settings(max_examples=50, deadline=None)
@given(st.data())
def test_every_sample_is_spent_within_the_bounds(data):
    rates = data.draw(st.lists(st.floats(0, 1), min_size=1, max_size=12))
    least = data.draw(st.integers(0, 4))
    most = data.draw(st.integers(least, 20))
    total = data.draw(st.integers(least * len(rates), most * len(rates)))
    counts = sample_counts(rates, total, least=least, most=most)
    assert sum(counts) == total
    assert all(least <= count <= most for count in counts)
    variances = [rate * (1 - rate) for rate in rates]
    for (one, many), (other, few) in permutations(zip(variances, counts, strict=True), 2):
        assert one - other < 1e-6 or many >= few
