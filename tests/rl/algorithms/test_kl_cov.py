import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.kl_cov import covariances, held_tokens

# Means -2 and 0: deviations 1, -1, 1, -1 of the log-probs, 3, 1, -1, -3 of the advantages.
LOGPROBS = np.array([-1, -3, -1, -3], dtype=np.float32)
ADVANTAGES = np.array([3, 1, -1, -3], dtype=np.float32)

tokens = st.lists(
    st.tuples(st.floats(-9, 0, width=16), st.floats(-3, 3, width=16)), min_size=1, max_size=30
)


def arrays(pairs):
    logprobs, advantages = np.array(pairs, dtype=np.float32).T
    return logprobs, advantages


def test_covariance_is_of_the_deviations_from_both_means():
    assert covariances(LOGPROBS, ADVANTAGES).tolist() == [3, -1, -1, 3]


def test_the_tokens_of_the_largest_covariance_are_held():
    assert held_tokens(LOGPROBS, ADVANTAGES, 0.5).tolist() == [0, 3]
    assert held_tokens(LOGPROBS, ADVANTAGES, 1.0).tolist() == [0, 1, 2, 3]


def test_of_equal_covariances_the_first_are_held():
    assert held_tokens(LOGPROBS, ADVANTAGES, 0.25).tolist() == [0]
    assert held_tokens(LOGPROBS, ADVANTAGES, 0.75).tolist() == [0, 1, 3]


@pytest.mark.parametrize(("fraction", "count"), [(0.002, 1), (0.49, 1), (0.5, 2), (0.74, 2)])
def test_the_share_is_rounded_down_to_one_token_at_least(fraction, count):
    assert len(held_tokens(LOGPROBS, ADVANTAGES, fraction)) == count


def test_nothing_is_held_where_there_is_nothing():
    assert held_tokens(np.zeros(0, np.float32), np.zeros(0, np.float32), 1.0).tolist() == []


@given(tokens, st.floats(0.01, 1))
def test_no_token_that_is_left_has_a_larger_covariance_than_one_that_is_held(pairs, fraction):
    logprobs, advantages = arrays(pairs)
    slow = [
        (float(x) - np.mean(logprobs, dtype=np.float64))
        * (float(a) - np.mean(advantages, dtype=np.float64))
        for x, a in zip(logprobs, advantages, strict=True)
    ]
    held = set(held_tokens(logprobs, advantages, fraction).tolist())
    left = [value for i, value in enumerate(slow) if i not in held]
    assert len(held) == max(1, int(fraction * len(pairs)))
    assert max(left, default=-np.inf) <= min(slow[i] for i in held) + 1e-9


@given(tokens, st.floats(-3, 3, width=16), st.floats(-9, 0, width=16))
def test_shifting_all_advantages_or_log_probs_changes_no_covariance(pairs, gain, certainty):
    logprobs, advantages = (values.astype(np.float64) for values in arrays(pairs))
    np.testing.assert_allclose(
        covariances(logprobs + certainty, advantages + gain),
        covariances(logprobs, advantages),
        atol=1e-9,
    )


def test_the_term_needs_a_policy_that_has_moved():
    (problem,) = GrpoConfig(kl_cov_fraction=0.002).problems()
    assert problem.startswith(
        "algorithm.kl_cov_fraction=0.002 with algorithm.num_minibatches=1: the policy is still"
    )
    assert GrpoConfig(kl_cov_fraction=0.002, num_minibatches=2).problems() == []


@pytest.mark.parametrize(
    "wrong",
    [{"kl_cov_fraction": -0.1}, {"kl_cov_fraction": 1.1}, {"kl_cov_coefficient": -1.0}],
)
def test_shares_and_weights_out_of_range_are_problems(wrong):
    (problem,) = GrpoConfig(num_minibatches=2, **wrong).problems()
    assert problem.startswith("algorithm.kl_cov_fraction=")


def test_a_share_of_one_and_a_weight_of_nothing_are_allowed():
    config = GrpoConfig(num_minibatches=2, kl_cov_fraction=1.0, kl_cov_coefficient=0.0)
    assert config.problems() == []
