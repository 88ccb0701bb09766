"""Worked examples by hand, with the paper's tiers: 2000 tokens above a share of 0.5, else 4000."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish
from rewards.length.da_dler import (
    DaDlerConfig,
    build_reward,
    da_dler_length_terms,
    tier_deadline,
)
from tests.rewards.groups import completion, group, verdicts

TIERS = ([0.5], [4000, 2000])
ENDED = [False] * 4

answers = st.lists(
    st.tuples(st.integers(1, 4000), st.booleans(), st.booleans()), min_size=1, max_size=16
)


def rewards(lengths, correct, truncated=ENDED, thresholds=TIERS[0], deadlines=TIERS[1]):
    terms = da_dler_length_terms(lengths, correct, truncated, thresholds, deadlines)
    return [c + term for c, term in zip(correct, terms, strict=True)]


def test_an_easy_question_has_the_shorter_deadline():
    assert rewards([100, 2000, 2001, 50], [True, True, True, False]) == [1, 1, 0, 0]


def test_a_hard_question_keeps_the_longer_deadline():
    assert rewards([100, 4000, 50, 50], [True, True, False, False]) == [1, 1, 0, 0]


def test_a_share_at_the_threshold_is_in_the_harder_tier():
    assert tier_deadline(0.5, *TIERS) == 4000
    assert tier_deadline(0.5 + 1e-9, *TIERS) == 2000


def test_every_threshold_begins_a_tier():
    tiers = ([0.25, 0.75], [300, 200, 100])
    assert [tier_deadline(p, *tiers) for p in (0.0, 0.25, 0.3, 0.75, 0.8, 1.0)] == [
        300, 300, 200, 200, 100, 100,
    ]  # fmt: skip


def test_a_truncated_answer_is_neither_worth_anything_nor_a_sign_of_ease():
    # Three of four would be right, but one of them did not end: the share is 0.5.
    truncated = [False, False, True, False]
    assert rewards([100, 3000, 1500, 50], [True, True, True, False], truncated) == [1, 1, 0, 0]


def test_a_lone_right_answer_meets_the_shorter_deadline():
    assert rewards([3000], [True], [False]) == [0]
    assert rewards([2000], [True], [False]) == [1]


def test_a_group_without_a_right_answer_has_no_length_term():
    assert rewards([9, 5000, 1, 1], [False] * 4) == [0, 0, 0, 0]


@given(answers)
def test_a_wrong_answer_is_worth_nothing_and_a_right_one_at_most_one(group):
    lengths, correct, truncated = zip(*group, strict=True)
    for ok, value in zip(correct, rewards(lengths, correct, truncated), strict=True):
        assert value in ((0, 1) if ok else (0,))


@given(answers)
def test_a_longer_right_answer_never_gets_more(group):
    lengths, correct, truncated = zip(*group, strict=True)
    worth = sorted(
        (n, -value)
        for n, ok, cut, value in zip(
            lengths, correct, truncated, rewards(lengths, correct, truncated), strict=True
        )
        if ok and not cut
    )
    assert [cost for _, cost in worth] == sorted(cost for _, cost in worth)


@given(answers, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_rewards(group, random):
    order = list(range(len(group)))
    random.shuffle(order)
    ordered = rewards(*zip(*group, strict=True))
    assert rewards(*zip(*[group[i] for i in order], strict=True)) == [ordered[i] for i in order]


def test_the_reward_keeps_correctness_and_length_apart():
    mixed = replace(
        group("p", []),
        completions=(
            completion("p/0", 30),
            completion("p/1", 31),
            completion("p/2", 20, finish=Finish.LIMIT),
        ),
    )
    build = build_reward(DaDlerConfig(thresholds=[0.6], deadlines=[60, 30]))
    scores = build([mixed], [verdicts([True, True, True])])[0]
    # Two of three ended and are right.
    assert [s.parts for s in scores] == [
        {"correct": 1.0, "length": 0.0},
        {"correct": 1.0, "length": -1.0},
        {"correct": 1.0, "length": -1.0},
    ]
    assert [s.total for s in scores] == [1.0, 0.0, 0.0]


def test_the_papers_tiers_are_the_default():
    config = DaDlerConfig()
    assert (config.thresholds, config.deadlines) == TIERS
    assert config.problems() == []


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"deadlines": [4000]}, "set a deadline for each"),
        ({"thresholds": []}, "set a deadline for each"),
        ({"thresholds": [0.0]}, "rising between 0 and 1"),
        ({"thresholds": [1.0]}, "rising between 0 and 1"),
        ({"thresholds": [0.5, 0.5], "deadlines": [3, 2, 1]}, "rising between 0 and 1"),
        ({"deadlines": [2000, 2000]}, "falling, the last 1 or more"),
        ({"deadlines": [1, 0]}, "falling, the last 1 or more"),
    ],
)
def test_tiers_that_make_no_sense_are_a_problem(wrong, message):
    (problem,) = DaDlerConfig(**wrong).problems()
    assert problem.startswith("reward.thresholds=") and message in problem


def test_no_tier_at_all_is_one_deadline():
    assert DaDlerConfig(thresholds=[], deadlines=[100]).problems() == []


def test_a_deadline_beyond_the_limit_is_a_problem():
    assert DaDlerConfig().problems_in_run(group_size=8, max_response_tokens=4000) == []
    (problem,) = DaDlerConfig().problems_in_run(group_size=8, max_response_tokens=3999)
    assert problem.startswith("reward.deadlines=[4000, 2000] with limit.max_response_tokens=3999")


def test_as_many_finishes_as_lengths_are_needed():
    with pytest.raises(ValueError, match="zip"):
        da_dler_length_terms([9, 5], [True, False], [False], *TIERS)


def test_a_deadline_of_one_token_is_allowed():
    assert DaDlerConfig(deadlines=[2, 1]).problems() == []


def test_the_limit_that_would_do_is_that_of_the_longest_deadline():
    (problem,) = DaDlerConfig().problems_in_run(group_size=8, max_response_tokens=1000)
    assert problem.endswith("set limit.max_response_tokens>=4000")
