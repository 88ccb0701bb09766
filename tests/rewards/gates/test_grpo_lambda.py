import logging

import pytest
from hypothesis import given
from hypothesis import strategies as st

from rewards.compose import gated
from rewards.gates.grpo_lambda import (
    ThresholdConfig,
    TopFractionConfig,
    build_threshold,
    build_top_fraction,
    pass_rate_threshold,
    pass_rates,
    top_fraction,
)
from rewards.length import cosine, kimi, overlong, shorter_better, sigmoid, slpo
from tests.rewards.groups import group, verdicts

TERMS = {
    "shorter_better": shorter_better.build_reward(shorter_better.ShorterBetterConfig(alpha=1.0)),
    "kimi": kimi.build_reward(kimi.KimiConfig()),
    "cosine": cosine.build_reward(cosine.CosineConfig()),
    "overlong": overlong.build_reward(overlong.OverlongConfig(worth=1.0, cache_share=1.0)),
    "sigmoid": sigmoid.build_reward(sigmoid.SigmoidConfig()),
    "slpo": slpo.build_reward(slpo.SlpoConfig()),
}


def batch(rights):
    """A group of four per entry, with so many right answers."""
    groups = [group(f"p{q}", [5, 5, 5, 5]) for q in range(len(rights))]
    return groups, [verdicts([i < right for i in range(4)]) for right in rights]


def test_pass_rate_is_the_share_of_right_answers():
    assert pass_rates(batch([0, 1, 4])[1]) == [0.0, 0.25, 1.0]


def test_the_groups_of_the_highest_pass_rate_are_selected():
    groups, judged = batch([1, 4, 0, 3, 2])
    assert top_fraction(groups, judged, 0.4, seed=0) == [False, True, False, True, False]


@pytest.mark.parametrize(
    ("num_groups", "fraction", "selected"),
    [(10, 0.2, 2), (11, 0.2, 3), (3, 0.01, 1), (4, 1.0, 4), (32, 0.2, 7), (100, 0.07, 7)],
)
def test_the_number_selected_is_the_fraction_rounded_up_and_at_least_one(
    num_groups, fraction, selected
):
    assert sum(top_fraction(*batch([2] * num_groups), fraction, seed=0)) == selected


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.randoms(use_true_random=False))
def test_the_order_of_the_batch_never_matters(rights, random):
    groups, judged = batch(rights)
    order = list(range(len(rights)))
    random.shuffle(order)
    selected = top_fraction(groups, judged, 0.3, seed=5)
    shuffled = top_fraction([groups[q] for q in order], [judged[q] for q in order], 0.3, seed=5)
    assert shuffled == [selected[q] for q in order]


@given(st.lists(st.integers(0, 4), min_size=2, max_size=12), st.integers(0, 100))
def test_no_group_left_out_has_a_higher_pass_rate_than_one_selected(rights, seed):
    selected = top_fraction(*batch(rights), 0.3, seed=seed)
    chosen = [r for r, s in zip(rights, selected, strict=True) if s]
    left = [r for r, s in zip(rights, selected, strict=True) if not s]
    assert not left or min(chosen, default=0) >= max(left)


def test_ties_fall_differently_with_another_seed_and_another_batch():
    groups, judged = batch([4] * 10)
    by_seed = {tuple(top_fraction(groups, judged, 0.2, seed=seed)) for seed in range(20)}
    first_of_nine = {
        top_fraction([groups[0], *rest], judged[:9], 0.2, seed=0)[0]
        for rest in ([g for g in groups[1:] if g is not left] for left in groups[1:])
    }
    assert len(by_seed) > 10
    assert first_of_nine == {True, False}


def test_a_prompt_that_occurs_twice_is_ranked_by_its_completions():
    twice = [group("p", [5, 5]), group("p", [5, 5])]
    object.__setattr__(twice[1].completions[0], "id", "p/2")
    object.__setattr__(twice[1].completions[1], "id", "p/3")
    judged = [verdicts([True, True])] * 2
    forward = top_fraction(twice, judged, 0.5, seed=0)
    assert top_fraction(twice[::-1], judged, 0.5, seed=0) == forward[::-1]


def test_ties_fall_alike_on_every_machine():
    assert top_fraction(*batch([4] * 8), 0.25, seed=0) == [
        False, False, True, False, False, False, False, True,
    ]  # fmt: skip


def test_of_two_groups_of_one_prompt_that_with_the_first_completion_leads():
    twice = [group("p", [5, 5]), group("p", [5, 5])]
    for completion, name in zip(
        (*twice[0].completions, *twice[1].completions), ("p/1", "p/2", "p/0", "p/3"), strict=True
    ):
        object.__setattr__(completion, "id", name)
    assert top_fraction(twice, [verdicts([True, True])] * 2, 0.5, seed=0) == [False, True]


def test_a_single_group_is_selected_with_a_warning(caplog):
    with caplog.at_level(logging.WARNING):
        assert top_fraction(*batch([1]), 0.2, seed=0) == [True]
    assert "draw more prompts" in caplog.text


def test_a_group_without_a_correct_answer_is_never_selected():
    assert top_fraction(*batch([0]), 0.2, seed=0) == [False]
    assert top_fraction(*batch([0, 1, 0, 0]), 1.0, seed=0) == [False, True, False, False]


def test_threshold_selects_groups_at_or_above_it():
    assert pass_rate_threshold(*batch([2, 3, 4]), 0.75) == [False, True, True]


def test_builders_take_their_numbers_from_the_config():
    groups, judged = batch([4, 3, 2, 1])
    assert build_top_fraction(TopFractionConfig(fraction=0.5), 0)(groups, judged) == [
        True, True, False, False,
    ]  # fmt: skip
    assert build_threshold(ThresholdConfig(pass_rate=1.0), 0)(groups, judged) == [
        True, False, False, False,
    ]  # fmt: skip


def test_defaults_are_the_papers():
    assert TopFractionConfig().fraction == 0.2
    assert ThresholdConfig().pass_rate == 0.75


@pytest.mark.parametrize("value", [0.0, 1.5])
def test_values_outside_their_range_are_problems(value):
    assert TopFractionConfig(fraction=value).problems() == [
        f"gate.fraction={value}: set 0 < gate.fraction <= 1"
    ]
    assert ThresholdConfig(pass_rate=value).problems() == [
        f"gate.pass_rate={value}: set 0 < gate.pass_rate <= 1"
    ]
    assert TopFractionConfig(fraction=1.0).problems() == []
    assert ThresholdConfig(pass_rate=1.0).problems() == []


@pytest.mark.parametrize(
    "gate",
    [
        build_top_fraction(TopFractionConfig(fraction=0.3), seed=0),
        build_threshold(ThresholdConfig(pass_rate=0.75), seed=0),
    ],
    ids=["top_fraction", "threshold"],
)
@pytest.mark.parametrize("name", TERMS)
def test_around_any_term_only_the_selected_group_is_paid_for_length(name, gate):
    groups = [group(f"p{q}", [100, 300, 500, 900]) for q in range(3)]
    judged = [verdicts([i < right for i in range(4)]) for right in (1, 3, 0)]
    plain = TERMS[name](groups, judged)
    scores = gated(TERMS[name], gate)(groups, judged)
    assert scores[1] == plain[1]
    assert len({s.parts["length"] for s in scores[1]}) > 1
    assert [s.total for s in scores[0]] == [1.0, 0.0, 0.0, 0.0]
    assert [s.total for s in scores[2]] == [0.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize("name", TERMS)
def test_around_any_term_an_all_wrong_batch_has_no_length_part(name):
    groups = [group(f"p{q}", [100, 300]) for q in range(2)]
    gate = build_top_fraction(TopFractionConfig(fraction=1.0), seed=0)
    scores = gated(TERMS[name], gate)(groups, [verdicts([False, False])] * 2)
    assert [[s.total for s in row] for row in scores] == [[0.0, 0.0]] * 2
