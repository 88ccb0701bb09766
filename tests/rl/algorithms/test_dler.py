"""Golden values: two groups, rewards [1 0 0 1] and [1 0 0 0], centred +-0.5 and 0.75, -0.25."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.dler import (
    DlerCodeConfig,
    DlerConfig,
    dler,
    dler_code,
    whitened_over_sequences,
    whitened_over_tokens,
)
from rl.config import SamplingFilter
from tests.rl.algorithms.scored import scored

REWARDS = [[1.0, 0.0, 0.0, 1.0], [1.0, 0.0, 0.0, 0.0]]
TOKENS = [[100, 200, 400, 100], [300, 400, 400, 400]]
# mean 0, population variance (4 * 0.25 + 0.5625 + 3 * 0.0625) / 8 = 0.21875
BY_SEQUENCES = [[1.069, -1.069, -1.069, 1.069], [1.6036, -0.5345, -0.5345, -0.5345]]
# over 2300 tokens: mean -275 / 2300, variance 410.87 / 2299
BY_TOKENS = [[1.4656, -0.8999, -0.8999, 1.4656], [2.0569, -0.3085, -0.3085, -0.3085]]

groups = st.lists(
    st.lists(st.tuples(st.floats(-3, 3, width=16), st.integers(1, 50)), min_size=1, max_size=6),
    min_size=1,
    max_size=5,
)


def unzipped(batch):
    return [[r for r, _ in group] for group in batch], [[n for _, n in group] for group in batch]


def test_golden_values_over_sequences():
    np.testing.assert_allclose(whitened_over_sequences(REWARDS), BY_SEQUENCES, atol=5e-5)


def test_golden_values_over_tokens():
    np.testing.assert_allclose(whitened_over_tokens(REWARDS, TOKENS), BY_TOKENS, atol=5e-5)


@given(groups)
def test_over_tokens_is_over_a_list_of_every_token(batch):
    rewards, lengths = unzipped(batch)
    tokens, index = [], []
    for group, sizes in zip(rewards, lengths, strict=True):
        baseline = np.mean(group) if len(group) > 1 else 0.0
        for reward, size in zip(group, sizes, strict=True):
            index.append(len(tokens))
            tokens += [reward - baseline] * size
    tokens = np.array(tokens)
    variance = tokens.var(ddof=1) if len(tokens) > 1 else 0.0
    slow = ((tokens - tokens.mean()) / np.sqrt(variance + 1e-8))[index]
    ours = [value for group in whitened_over_tokens(rewards, lengths) for value in group]
    np.testing.assert_allclose(ours, slow, rtol=1e-6, atol=1e-6)


@given(groups)
def test_over_sequences_is_numpys_over_the_centred_rewards(batch):
    rewards, _ = unzipped(batch)
    centred = np.concatenate(
        [np.array(group) - (np.mean(group) if len(group) > 1 else 0.0) for group in rewards]
    )
    slow = (centred - centred.mean()) / np.sqrt(centred.var() + 1e-8)
    ours = [value for group in whitened_over_sequences(rewards) for value in group]
    np.testing.assert_allclose(ours, slow, rtol=1e-6, atol=1e-6)


@given(st.integers(1, 1000))
def test_equal_lengths_make_tokens_count_as_sequences_do(length):
    lengths = [[length] * 4] * 2
    ratio = (8 * length - 1) / (8 * length)  # Bessel's correction over tokens
    np.testing.assert_allclose(
        whitened_over_tokens(REWARDS, lengths),
        np.array(whitened_over_sequences(REWARDS)) * ratio**0.5,
        rtol=1e-6,
    )


def test_long_completions_weigh_more_over_tokens():
    (long_wrong,) = whitened_over_tokens([[1.0, 0.0]], [[10, 90]])
    assert long_wrong[0] > -long_wrong[1]


def test_advantage_is_zero_when_all_rewards_tie():
    tied = [[0.1, 0.1, 0.1], [1.0, 1.0]]
    assert whitened_over_sequences(tied) == [[0.0] * 3, [0.0] * 2]
    assert whitened_over_tokens(tied, [[1, 2, 3], [4, 5]]) == [[0.0] * 3, [0.0] * 2]


def test_a_group_of_one_keeps_its_reward_before_whitening():
    # a = 1, 0.5, -0.5: mean 1/3, population variance 7/18
    ours = whitened_over_sequences([[1.0], [1.0, 0.0]])
    expected = (np.array([1.0, 0.5, -0.5]) - 1 / 3) / (7 / 18) ** 0.5
    np.testing.assert_allclose([*ours[0], *ours[1]], expected, rtol=1e-6)


def test_a_lone_token_has_no_spread():
    assert whitened_over_tokens([[1.0]], [[1]]) == [[0.0]]


def test_two_tokens_have_the_variance_of_two_values():
    # +-0.5, variance 0.5 with Bessel's correction
    expected = pytest.approx([0.5**0.5, -(0.5**0.5)], rel=1e-6)
    assert whitened_over_tokens([[1.0, 0.0]], [[1, 1]])[0] == expected


def test_epsilon_is_added_to_the_variance():
    # centred +-5e-5, population variance 2.5e-9
    assert whitened_over_sequences([[1e-4, 0.0]])[0][0] == pytest.approx(5e-5 / 1.25e-8**0.5)


@given(st.permutations(range(4)))
def test_permuting_a_group_permutes_its_advantages(order):
    rewards, tokens = ([[rows[0][i] for i in order], rows[1]] for rows in (REWARDS, TOKENS))
    expected = [BY_TOKENS[0][i] for i in order]
    assert whitened_over_tokens(rewards, tokens)[0] == pytest.approx(expected, abs=5e-5)


def test_as_many_lengths_as_rewards_are_needed():
    with pytest.raises(ValueError):
        whitened_over_tokens([[1.0, 0.0]], [[1]])


def test_the_paper_counts_completions_and_its_code_counts_tokens():
    update = scored(REWARDS, TOKENS)
    assert dler(DlerConfig())(*update) == whitened_over_sequences(REWARDS)
    assert dler_code(DlerCodeConfig())(*update) == whitened_over_tokens(REWARDS, TOKENS)


def test_the_paper_filters_by_the_reward_and_its_code_by_correctness():
    assert DlerConfig().dynamic_sampling and DlerCodeConfig().dynamic_sampling
    assert DlerConfig().dynamic_sampling_by is SamplingFilter.reward
    assert DlerCodeConfig().dynamic_sampling_by is SamplingFilter.correctness
