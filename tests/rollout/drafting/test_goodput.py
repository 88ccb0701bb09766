import itertools

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from rollout.drafting.goodput import (
    admitted,
    expected_accepted,
    goodputs,
    positions,
    survivals,
)

CHAINS = st.lists(st.lists(st.floats(0, 1), max_size=4), min_size=1, max_size=4)


def flat(chains):
    lengths = np.array([len(chain) for chain in chains])
    return np.array([a for chain in chains for a in chain]), lengths


def test_survival_is_the_product_along_each_row():
    acceptance, lengths = flat([[0.5, 0.5], [], [0.9, 0.0, 1.0]])
    np.testing.assert_allclose(survivals(acceptance, lengths), [0.5, 0.25, 0.9, 0.0, 0.0])
    assert positions(lengths).tolist() == [0, 1, 0, 1, 2]


def test_goodput_is_rows_plus_the_best_survivals_over_seconds():
    rates = goodputs(np.array([0.2, 0.9, 0.5]), 2, np.array([1.0, 1.0, 2.0, 4.0]))
    np.testing.assert_allclose(rates, [2.0, 2.9, 3.4 / 2, 3.6 / 4])


def test_expected_tokens_are_the_survivals_of_what_is_kept():
    """0.5 + 0.25 of the first row, nothing of the empty one, 0.9 of the last."""
    acceptance, lengths = flat([[0.5, 0.5], [], [0.9, 0.5]])
    survival = survivals(acceptance, lengths)
    assert expected_accepted(survival, lengths, np.array([2, 0, 1])) == 0.5 + 0.25 + 0.9
    assert expected_accepted(survival, lengths, np.zeros(3, int)) == 0.0


def test_the_slots_of_largest_survival_are_admitted():
    acceptance, lengths = flat([[0.9, 0.9, 0.1], [], [0.5, 0.2]])
    survival = survivals(acceptance, lengths)
    assert admitted(survival, lengths, 3).tolist() == [2, 0, 1]
    assert admitted(survival, lengths, 0).tolist() == [0, 0, 0]


@given(CHAINS, st.integers(0, 16))
def test_admitted_prefixes_are_the_best_of_that_size(chains, num_slots):
    acceptance, lengths = flat(chains)
    num_slots = min(num_slots, len(acceptance))
    survival = survivals(acceptance, lengths)
    kept = admitted(survival, lengths, num_slots)
    assert kept.sum() == num_slots and np.all(kept <= lengths)

    def value(counts):
        return survival[positions(lengths) < np.repeat(counts, lengths)].sum()

    choices = itertools.product(*(range(length + 1) for length in lengths))
    best = max(value(np.array(c)) for c in choices if sum(c) == num_slots)
    np.testing.assert_allclose(value(kept), best)
