import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from rl.algorithms.gdpo import GdpoConfig, gdpo, gdpo_advantages, parts_of
from rl.algorithms.grpo import grpo_advantages
from tests.rl.algorithms.scored import in_parts, scored

CORRECT = [[1.0, 1.0, 0.0], [0.0, 1.0, 0.0]]
LENGTH = [[-0.01, -0.03, 0.0], [0.0, 0.0, 0.0]]
PARTS = {"correct": CORRECT, "length": LENGTH}
SCORES = in_parts(
    [
        [{"correct": c, "length": n} for c, n in zip(*rows, strict=True)]
        for rows in zip(CORRECT, LENGTH, strict=True)
    ]
)
values = st.floats(-3, 3, width=16)


def slow(parts, weights):
    """TRL's `normalize_then_sum`, in NumPy, for groups of equal size."""
    total = 0.0
    for name, part in parts.items():
        part = np.array(part)
        std = part.std(axis=1, ddof=1, keepdims=True)
        total = total + weights.get(name, 1.0) * (part - part.mean(axis=1, keepdims=True)) / (
            std + 1e-6
        )
    return (total - total.mean()) / (total.std(ddof=1) + 1e-4)


def test_worked_example():
    # correct: z = [0.577, 0.577, -1.155], [-0.577, 1.155, -0.577];
    # length: mean -0.04 / 3, deviations 1/300, -5/300, 4/300, std 0.01528.
    first = [0.5773 + 0.2182, 0.5773 - 1.0911, -1.1547 + 0.8729]
    sums = np.array([first, [-0.5773, 1.1547, -0.5773]])
    expected = (sums - sums.mean()) / sums.std(ddof=1)
    np.testing.assert_allclose(gdpo_advantages(PARTS, {}), expected, atol=5e-4)


@given(
    st.lists(st.lists(st.tuples(values, values), min_size=3, max_size=3), min_size=1, max_size=4),
    st.floats(0, 4),
)
def test_equal_to_a_slow_reference(batch, weight):
    parts = {name: [[pair[k] for pair in group] for group in batch] for k, name in enumerate("ab")}
    np.testing.assert_allclose(
        gdpo_advantages(parts, {"b": weight}), slow(parts, {"b": weight}), rtol=1e-3, atol=1e-3
    )


def test_both_epsilons_are_added_to_their_deviations():
    # 0.5 / (0.70710678 + 1e-6) = 0.7071058; their std is 0.9999986, with 1e-4 it is 1.0000986
    assert gdpo_advantages({"correct": [[1.0, 0.0]]}, {})[0][0] == pytest.approx(
        0.7070361, abs=1e-6
    )


def test_a_part_counts_by_its_order_and_not_by_its_scale():
    tenfold = {"correct": CORRECT, "length": [[10 * n for n in group] for group in LENGTH]}
    np.testing.assert_allclose(gdpo_advantages(tenfold, {}), gdpo_advantages(PARTS, {}), atol=1e-3)


def test_weights_say_what_a_part_is_worth():
    without = gdpo_advantages({"correct": CORRECT}, {})
    np.testing.assert_allclose(gdpo_advantages(PARTS, {"length": 0.0}), without, atol=1e-9)
    assert gdpo_advantages(PARTS, {"length": 2.0}) != gdpo_advantages(PARTS, {})


def test_a_floor_above_every_spread_leaves_the_parts_their_scale():
    totals = np.array(CORRECT) + np.array(LENGTH)
    centred = totals - totals.mean(axis=1, keepdims=True)
    np.testing.assert_allclose(
        gdpo_advantages(PARTS, {}, std_floor=2.0), centred / centred.std(ddof=1), atol=1e-3
    )


def test_one_part_is_grpo_up_to_the_scale_of_the_update():
    (ours,) = gdpo_advantages({"correct": [[1.0, 0.0, 0.0]]}, {})
    theirs = grpo_advantages([1.0, 0.0, 0.0])
    np.testing.assert_allclose(ours, theirs, rtol=1e-3)


def test_advantage_is_zero_when_all_rewards_tie():
    assert gdpo_advantages({"a": [[0.1, 0.1, 0.1]], "b": [[0.0, 0.0, 0.0]]}, {}) == [[0.0] * 3]


def test_a_score_without_a_part_has_none_of_it():
    scores = in_parts([[{"correct": 1.0, "style": 0.5}, {"correct": 0.0}]])
    assert parts_of(scores) == {"correct": [[1.0, 0.0]], "style": [[0.5, 0.0]]}


def test_the_parts_of_the_scores_are_normalised_with_the_configured_weights():
    groups, _ = scored(CORRECT)
    ours = gdpo(GdpoConfig(weights={"length": 0.5}, std_floor=0.1))(groups, SCORES)
    assert ours == gdpo_advantages(PARTS, {"length": 0.5}, std_floor=0.1)


def test_a_weight_of_a_part_that_is_none_is_refused():
    groups, _ = scored(CORRECT)
    with pytest.raises(ValueError, match=r"algorithm.weights.lenght=2.0: .* parts correct, length"):
        gdpo(GdpoConfig(weights={"lenght": 2.0}))(groups, SCORES)


@pytest.mark.parametrize("other", [[[0.0, 1.0, 0.0]], [[0.0, 1.0], [0.0, 1.0, 0.0]]])
def test_every_part_has_a_value_for_every_completion(other):
    with pytest.raises(ValueError, match="zip"):
        gdpo_advantages({"correct": CORRECT, "length": other}, {})
