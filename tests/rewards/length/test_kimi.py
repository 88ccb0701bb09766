"""Golden values: lengths 400, 700, 1000, 1600, the third wrong."""

from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Group, Span
from rewards.length.kimi import (
    KimiConfig,
    after_warmup,
    build_reward,
    kimi_length_rewards,
    kimi_length_terms,
)
from tests.rewards.groups import completion, group, prompt, verdicts

LENGTHS, CORRECT = [400, 700, 1000, 1600], [True, True, False, True]

answers = st.lists(st.tuples(st.integers(1, 32768), st.booleans()), min_size=1, max_size=16)


def sampled_by(*versions):
    """A group with one completion of 10 tokens per weight version, or range of versions."""
    ranges = [version if isinstance(version, tuple) else (version,) for version in versions]
    completions = [
        replace(
            completion(f"c{i}", 10),
            spans=tuple(Span(start=j, stop=10, weight_version=v) for j, v in enumerate(spans)),
        )
        for i, spans in enumerate(ranges)
    ]
    return Group(prompt=prompt("p"), completions=tuple(completions))


def test_length_rewards_are_the_golden_ones():
    assert kimi_length_rewards(LENGTHS, CORRECT) == pytest.approx([0.5, 0.25, 0.0, -0.5])


def test_a_wrong_answer_is_punished_for_length_and_not_paid_for_brevity():
    rewards = kimi_length_rewards([100, 200, 300], [False, False, False])
    assert rewards == pytest.approx([0.0, 0.0, -0.5])
    assert kimi_length_rewards([100, 175, 200], [True, False, True])[1] == pytest.approx(-0.25)


def test_wrong_answers_stretch_the_range():
    assert kimi_length_rewards([100, 200, 500], [False, True, False])[1] == pytest.approx(0.25)


def test_equal_lengths_carry_no_preference():
    assert kimi_length_rewards([50, 50], [True, False]) == [0.0, 0.0]


def test_a_group_of_one_gets_nothing():
    assert kimi_length_rewards([50], [True]) == kimi_length_rewards([50], [False]) == [0.0]


def test_a_truncated_answer_is_the_longest_wrong_one():
    assert kimi_length_rewards([100, 4096], [True, False]) == pytest.approx([0.5, -0.5])


@pytest.mark.parametrize("lengths", [[9, 5], [9, 9]])
def test_as_many_lengths_as_verdicts_are_needed(lengths):
    with pytest.raises(ValueError, match="zip"):
        kimi_length_rewards(lengths, [False])


def test_the_weight_scales_the_length_reward():
    assert kimi_length_terms(LENGTHS, CORRECT, 0.4) == pytest.approx([0.2, 0.1, 0.0, -0.2])


@given(answers)
def test_the_rewards_are_those_of_the_definition(group):
    """One answer at a time, from its place between the extremes of the sorted group."""
    order = sorted(n for n, _ in group)
    rewards = kimi_length_rewards(*zip(*group, strict=True))
    for (n, ok), reward in zip(group, rewards, strict=True):
        spread = order[-1] - order[0]
        place = (n - order[0]) / spread if spread else 0.5
        assert reward == pytest.approx(0.5 - place if ok or place > 0.5 else 0.0)


@given(answers, st.floats(0.01, 1.99))
def test_a_correct_answer_is_always_worth_more_than_a_wrong_one(group, weight):
    lengths, correct = zip(*group, strict=True)
    terms = kimi_length_terms(lengths, correct, weight)
    assert all(ok + t > 0 if ok else t <= 0 for ok, t in zip(correct, terms, strict=True))


@given(answers)
def test_among_correct_answers_a_longer_one_never_gets_more(group):
    rewards = kimi_length_rewards(*zip(*group, strict=True))
    right = sorted((n, -r) for (n, ok), r in zip(group, rewards, strict=True) if ok)
    assert [cost for _, cost in right] == sorted(cost for _, cost in right)


@given(answers, st.randoms(use_true_random=False))
def test_permuting_a_group_permutes_its_rewards(group, random):
    order = list(range(len(group)))
    random.shuffle(order)
    rewards = kimi_length_rewards(*zip(*group, strict=True))
    permuted = kimi_length_rewards(*zip(*[group[i] for i in order], strict=True))
    assert permuted == [rewards[i] for i in order]


def test_the_warm_up_ends_with_the_update_that_it_names():
    groups = [sampled_by(1, 1), sampled_by(2, 2), sampled_by(3, 3)]
    assert after_warmup(groups, [], num_steps=2) == [False, True, True]


def test_a_token_from_before_keeps_its_group_in_the_warm_up():
    groups = [sampled_by((1, 2), 2), sampled_by(2, (1, 2)), sampled_by((2, 3), 3)]
    assert after_warmup(groups, [], num_steps=2) == [False, False, True]


def test_the_length_part_is_zero_until_the_warm_up_ends():
    reward = build_reward(KimiConfig(weight=0.4, warmup_steps=5))
    early, late = sampled_by(4, 4), sampled_by(5, 5)
    judged = [verdicts([True, False])] * 2
    assert [s.total for s in reward([early], judged[:1])[0]] == [1.0, 0.0]
    longer = replace(late.completions[1], spans=(Span(start=0, stop=30, weight_version=5),))
    late = replace(late, completions=(late.completions[0], longer))
    assert [s.total for s in reward([late], judged[:1])[0]] == pytest.approx([1.2, -0.2])


def test_without_a_warm_up_length_counts_from_the_first_step():
    scores = build_reward(KimiConfig(weight=0.4))([group("p", LENGTHS)], [verdicts(CORRECT)])[0]
    assert [s.parts["correct"] for s in scores] == [1.0, 1.0, 0.0, 1.0]
    assert [s.parts["length"] for s in scores] == pytest.approx([0.2, 0.1, 0.0, -0.2])


@pytest.mark.parametrize("weight", [0.0, 2.0, -0.4])
def test_a_weight_outside_its_range_is_a_problem(weight):
    assert KimiConfig(weight=weight).problems() == [
        f"reward.weight={weight}: set 0 < reward.weight < 2, so that a correct answer is always "
        "worth more than a wrong one"
    ]


def test_a_warm_up_of_fewer_than_no_steps_is_a_problem():
    assert KimiConfig(warmup_steps=-1).problems() == [
        "reward.warmup_steps=-1: set it to 0 (none) or more"
    ]


def test_the_defaults_have_no_warm_up():
    assert (KimiConfig().weight, KimiConfig().warmup_steps) == (0.4, 0)
    assert KimiConfig().problems() == []
