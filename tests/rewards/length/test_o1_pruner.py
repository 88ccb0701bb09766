"""Golden values: lengths 400, 700, 1000, 1600, the third wrong: L = 925, A = 0.75."""

from statistics import fmean, pstdev

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.references import Reference
from rewards.length.o1_pruner import (
    O1PrunerCodeConfig,
    O1PrunerConfig,
    build_code_reward,
    build_reward,
    clipped_rewards,
    dataset_moments,
    length_harmonizing_rewards,
    moments,
)
from tests.rewards.groups import group, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]
GOLDEN = [2.5625, 1.5714286, -3.825, 0.828125]
"""At lambda 5, before the released code's clip."""

answers = st.lists(st.tuples(st.integers(1, 32768), st.booleans()), min_size=1, max_size=16)
weights = st.floats(0, 10)


def reference(lengths, correct, num_trained=2):
    return Reference(lengths=tuple(lengths), correct=tuple(correct), num_trained=num_trained)


def totals(reward, lengths=LENGTHS, correct=CORRECT, name="p"):
    return [s.total for s in reward([group(name, lengths)], [verdicts(correct)])[0]]


def test_lambda_5_gives_the_golden_rewards():
    assert length_harmonizing_rewards(LENGTHS, CORRECT, 925, 0.75, 5) == pytest.approx(GOLDEN)


def test_the_code_clips_the_third_at_minus_2():
    assert clipped_rewards(GOLDEN) == [2.5625, 1.5714286, -2.0, 0.828125]
    assert clipped_rewards([4.0, 4.1, -2.1]) == [4.0, 4.0, -2.0]


def test_as_long_and_as_often_right_as_the_reference_is_worth_nothing():
    assert length_harmonizing_rewards([100, 100], [True, False], 100, 1, 2) == [0.0, -2.0]
    assert length_harmonizing_rewards([50, 200], [False, False], 100, 0, 2) == [1.0, -0.5]


def test_a_group_is_compared_with_the_recorded_answers_not_with_itself():
    reward = build_reward(
        O1PrunerConfig(weight=5), {"p": reference(LENGTHS, CORRECT), "q": reference([10], [False])}
    )
    assert totals(reward, LENGTHS[:2], CORRECT[:2]) == pytest.approx(GOLDEN[:2])
    assert totals(reward, [5, 20], [True, False], "q") == pytest.approx([6.0, -0.5])


def test_a_group_without_recorded_answers_is_compared_with_itself():
    assert totals(build_reward(O1PrunerConfig(weight=5))) == pytest.approx(GOLDEN)
    code = totals(build_code_reward(O1PrunerCodeConfig(weight=5)))
    assert code == pytest.approx([2.5625, 1.5714286, -2.0, 0.828125])


def test_a_prompt_that_was_not_recorded_is_an_error():
    with pytest.raises(KeyError, match="p"):
        totals(build_reward(O1PrunerConfig(), {}))


def test_parts_say_what_being_right_is_worth_and_sum_to_the_reward():
    (scores,) = build_reward(O1PrunerConfig(weight=5))([group("p", LENGTHS)], [verdicts(CORRECT)])
    assert [score.parts["correct"] for score in scores] == [5.0, 5.0, 0.0, 5.0]
    assert [score.parts["length"] for score in scores] == pytest.approx(
        [-2.4375, -3.4285714, -3.825, -4.171875]
    )
    assert [sum(score.parts.values()) for score in scores] == pytest.approx(GOLDEN)


def test_the_code_standardises_by_the_trained_answers_of_the_whole_data_set():
    references = {"p": reference(LENGTHS, CORRECT), "q": reference([100, 50, 150], [True] * 3)}
    # p: 2.5625, 1.5714; q, of mean length 100: 0, 1; their third answers are not trained.
    trained = [2.5625, 925 / 700 - 1 + 1.25, 0.0, 1.0]
    mean, std = dataset_moments(references, weight=5)
    assert (mean, std) == pytest.approx((fmean(trained), pstdev(trained)))
    reward = build_code_reward(O1PrunerCodeConfig(weight=5), references)
    found = totals(reward, LENGTHS[:2], CORRECT[:2]) + totals(reward, [100, 50], [True] * 2, "q")
    assert found == pytest.approx([(value - mean) / std for value in trained])
    assert (fmean(found), pstdev(found)) == pytest.approx((0, 1))


def test_the_code_clips_before_it_standardises():
    references = {"p": reference([1, 39], [True, True])}
    # L = 20: 19 and -0.487, of which the first is clipped.
    mean, std = dataset_moments(references, weight=2)
    assert (mean, std) == pytest.approx(((4 - 19 / 39) / 2, (4 + 19 / 39) / 2))


def test_rewards_that_are_all_equal_have_no_spread_to_divide_by():
    assert moments([0.1, 0.1, 0.1]) == (0.1, 1.0)
    assert moments([0.1]) == (0.1, 1.0)
    assert moments([1.0, 3.0]) == (2.0, 1.0)
    assert moments([1.0, 5.0]) == (3.0, 2.0)


def test_as_many_lengths_as_verdicts_are_needed():
    with pytest.raises(ValueError, match="zip"):
        length_harmonizing_rewards([9, 5], [False], 7, 0, 2)


@given(answers, st.floats(1, 1e5), st.floats(0, 1), weights)
def test_the_rewards_are_those_of_the_definition(rows, mean_length, mean_accuracy, weight):
    lengths, correct = zip(*rows, strict=True)
    found = length_harmonizing_rewards(lengths, correct, mean_length, mean_accuracy, weight)
    for (n, ok), reward in zip(rows, found, strict=True):
        accuracy_term = weight * ((1 if ok else 0) - mean_accuracy)
        assert reward == pytest.approx((mean_length - n) / n + accuracy_term, abs=1e-6)


@given(answers, weights)
def test_a_shorter_answer_of_equal_correctness_is_worth_more(rows, weight):
    lengths, correct = zip(*rows, strict=True)
    found = length_harmonizing_rewards(lengths, correct, 500, 0.5, weight)
    for n, ok, reward in zip(lengths, correct, found, strict=True):
        for m, other_ok, other in zip(lengths, correct, found, strict=True):
            assert not (ok == other_ok and n < m) or reward > other


@given(answers, weights, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_rewards(rows, weight, random):
    order = random.sample(range(len(rows)), len(rows))
    config = O1PrunerCodeConfig(weight=weight)
    found = totals(build_code_reward(config), *zip(*rows, strict=True))
    permuted = totals(build_code_reward(config), *zip(*[rows[i] for i in order], strict=True))
    assert permuted == pytest.approx([found[i] for i in order])


@given(st.lists(st.floats(-100, 100), min_size=1, max_size=20))
def test_clipping_keeps_the_order_and_the_bounds(rewards):
    found = clipped_rewards(rewards)
    assert all(-2 <= value <= 4 for value in found)
    assert [value for value in found if -2 < value < 4] == [r for r in rewards if -2 < r < 4]
    pairs = sorted(zip(rewards, found, strict=True))
    assert [value for _, value in pairs] == sorted(found)


def test_defaults_are_the_papers_and_the_problem_is_said():
    assert O1PrunerConfig().weight == O1PrunerCodeConfig().weight == 2
    assert O1PrunerConfig(weight=0).problems() == []
    assert O1PrunerConfig(weight=-1).problems() == [
        "reward.weight=-1: set it to 0 (length alone) or more"
    ]
    assert set(O1PrunerConfig().given_up()) == {"order", "bounded"}
    assert set(O1PrunerCodeConfig().given_up()) == {"order"}
