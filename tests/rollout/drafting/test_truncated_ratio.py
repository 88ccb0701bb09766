"""Exactness by enumeration: over every draft, accepted or not, the output is the policy."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rollout.drafting.truncated_ratio import acceptance, residual, top_part

P = np.array([49, 30, 35, 36, 8, 1, 10, 31]) / 200
Q = np.array([37, 14, 29, 26, 28, 27, 15, 24]) / 200
"""Eight tokens that reproduce the derivation's numbers (the derivation's own are not written)."""

COUNTS = st.lists(st.integers(0, 9), min_size=2, max_size=8).filter(any)


def output(policy, sampled_from, known):
    """The distribution of the emitted token when drafts come from `sampled_from`."""
    accept = acceptance(policy, known)
    rejected = 1 - sampled_from @ accept
    return sampled_from * accept + rejected * residual(policy, known)


def test_ratio_accepts_0_745_and_one_hot_0_133_of_the_same_drafts():
    assert Q @ acceptance(P, Q) == pytest.approx(0.745, abs=5e-4)
    one_hot = Q @ P
    assert one_hot == pytest.approx(0.133, abs=5e-4)
    assert np.minimum(P, Q).sum() == pytest.approx(Q @ acceptance(P, Q))


@pytest.mark.parametrize(("lenience", "error"), [(1.0, 0.046), (np.exp(0.5), 0.078)])
def test_resampling_from_the_policy_after_a_rejection_is_biased(lenience, error):
    """SPEC-RL's rule (arXiv:2509.23232): even without lenience the output is not the policy."""
    accept = np.minimum(1, lenience * P / Q)
    emitted = Q * accept + (1 - Q @ accept) * P
    assert np.abs(emitted - P).sum() / 2 == pytest.approx(error, abs=5e-4)


def test_the_top_part_keeps_its_places():
    np.testing.assert_array_equal(top_part(np.array([0.2, 0.5, 0.3]), 2), [0.0, 0.5, 0.3])


def test_three_of_eight_known_probabilities_lower_acceptance_only():
    known = top_part(Q, 3)
    np.testing.assert_allclose(np.flatnonzero(known), [0, 2, 4])
    # min(49, 37) + min(35, 29) + min(8, 28)
    assert Q @ acceptance(P, known) == pytest.approx(74 / 200)
    np.testing.assert_allclose(output(P, Q, known), P)


@given(st.data())
def test_output_is_the_policy_for_every_truncation(data):
    policy = np.array(data.draw(COUNTS), dtype=float)
    same_size = st.lists(st.integers(0, 9), min_size=len(policy), max_size=len(policy)).filter(any)
    draft = np.array(data.draw(same_size), dtype=float)
    policy, draft = policy / policy.sum(), draft / draft.sum()
    known = top_part(draft, data.draw(st.integers(0, len(policy))))
    np.testing.assert_allclose(output(policy, draft, known), policy, atol=1e-12)


@given(st.data())
def test_output_is_the_policy_for_a_one_hot_draft(data):
    policy = np.array(data.draw(COUNTS), dtype=float)
    policy /= policy.sum()
    one_hot = np.eye(len(policy))[data.draw(st.integers(0, len(policy) - 1))]
    np.testing.assert_allclose(output(policy, one_hot, one_hot), policy, atol=1e-12)


def test_renormalising_the_known_part_would_not_be_exact():
    known = top_part(Q, 3)
    assert np.abs(output(P, Q, known / known.sum()) - P).max() > 0.01
