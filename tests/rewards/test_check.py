"""A sound reward passes; one that breaks a single property is found out by it alone."""

import itertools

import pytest

from data.types import Finish, Score
from rewards.check import GROWTH, NUM_RANDOM, bounded, findings, sweep
from rewards.compose import score, with_length
from rewards.correct import CorrectConfig, build_reward
from rewards.length.sigmoid import SigmoidConfig
from rewards.length.sigmoid import build_reward as build_sigmoid

LIMIT = 512


def term(formula):
    """A reward of correctness plus `formula(n, correct)`."""
    return lambda: with_length(
        lambda lengths, correct: [formula(n, ok) for n, ok in zip(lengths, correct, strict=True)]
    )


def failing(make):
    return [
        finding.name for finding in findings(make, group_size=8, limit=LIMIT) if not finding.holds
    ]


def first_is_special():
    return lambda groups, verdicts: [
        [score(bool(v.correct), place=0.1 if i == 0 else 0.0) for i, v in enumerate(judged)]
        for judged in verdicts
    ]


def later_groups_are_worth_less():
    return lambda groups, verdicts: [
        [score(bool(v.correct), place=-q / 1000) for v in judged]
        for q, judged in enumerate(verdicts)
    ]


@pytest.mark.parametrize(
    "make", [lambda: build_reward(CorrectConfig()), lambda: build_sigmoid(SigmoidConfig())]
)
def test_sound_rewards_pass(make):
    assert failing(make) == []


@pytest.mark.parametrize(
    ("make", "broken"),
    [
        (term(lambda n, ok: 0.0 if ok else 1.1), ["order"]),
        (term(lambda n, ok: 0.5 * n / (n + 100) if ok else 0.0), ["monotone"]),
        (term(lambda n, ok: -n / LIMIT if not ok else 0.0), ["bounded"]),
        (term(lambda n, ok: float("inf") if ok else 0.0), ["bounded", "permutation-invariant"]),
        (first_is_special, ["monotone", "permutation-invariant"]),
        (later_groups_are_worth_less, ["permutation-invariant"]),
    ],
)
def test_a_broken_property_is_found_out(make, broken):
    assert failing(make) == broken


@pytest.mark.parametrize(
    ("formula", "holds"),
    [(lambda n, ok: 0.0 if ok else 1.0, True), (lambda n, ok: 0.0 if ok else 1.0 + 1e-6, False)],
)
def test_a_wrong_answer_may_be_worth_as_much_as_a_right_one_and_no_more(formula, holds):
    assert findings(term(formula), 8, LIMIT)[0].holds == holds


def test_what_was_seen_names_the_first_pair():
    order, monotone, *_ = findings(term(lambda n, ok: 0.0 if ok else 2.0), 2, 64)
    assert order.seen.startswith(f"{order.seen.split()[0]} of {order.seen.split()[0]} pairs wrong")
    assert "; first: 64 tokens worth 2, 2 tokens worth 1" in order.seen
    assert monotone.seen.endswith("pairs longer above shorter")


def test_a_reward_with_memory_is_asked_without_it():
    def make():
        calls = itertools.count()
        return lambda groups, verdicts: [
            [score(bool(v.correct), age=calls_so_far) for v in judged]
            for calls_so_far in [next(calls)]
            for judged in verdicts
        ]

    assert failing(make) == []


def flat(low, high):
    return [[Score(correct=True, parts={}, total=value) for value in (low, high)]]


@pytest.mark.parametrize(
    ("longer", "holds"),
    [((0.0, 1.0), True), ((-0.1, 1.1), True), ((-0.11, 1.0), False), ((0.0, 1.11), False)],
)
def test_a_tenth_of_the_range_is_allowed_for_the_coarse_sweep(longer, holds):
    assert bounded(flat(0.0, 1.0), flat(*longer)).holds == holds


@pytest.mark.parametrize("size", [2, 3, 8, 16])
def test_the_sweep_has_every_number_of_right_answers_among_short_and_long(size):
    swept = sweep(size, LIMIT)
    assert all(len(group.completions) == size for group in swept.groups)
    assert {sum(correct) for correct in swept.correct} == set(range(size + 1))
    spread = [
        (group.lengths, correct)
        for group, correct in zip(swept.groups, swept.correct, strict=True)
        if len(set(group.lengths)) > 1
    ][:-NUM_RANDOM]
    for k in range(1, size):
        assert (spread[0][0], [i < k for i in range(size)]) in spread
        assert (spread[0][0], [i >= size - k for i in range(size)]) in spread
    assert (min(spread[0][0]), max(spread[0][0])) == (LIMIT // 32, LIMIT)


def test_a_wrong_answer_at_the_limit_was_cut_off_and_none_is_longer():
    for scale in (1, GROWTH):
        swept = sweep(8, scale * LIMIT)
        finishes = set()
        for group, correct in zip(swept.groups, swept.correct, strict=True):
            for completion, ok in zip(group.completions, correct, strict=True):
                assert 1 <= completion.num_tokens <= completion.limit == scale * LIMIT
                cut_off = not ok and completion.num_tokens == completion.limit
                assert (completion.finish is Finish.LIMIT) == cut_off
                finishes.add(completion.finish)
        assert finishes == {Finish.LIMIT, Finish.STOP}


def test_a_limit_of_one_token_is_swept():
    assert {n for group in sweep(4, 1).groups for n in group.lengths} == {1}
