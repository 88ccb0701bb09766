"""Worked examples by hand: fifteen lengths of 100 and one of 1000 have mean 156.25 and std 225."""

from dataclasses import replace
from statistics import mean, stdev

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Finish, Span, SpanKind, Verdict
from rewards.length.dot import (
    DotConfig,
    build_reward,
    cut_outliers,
    first_tokens,
    largest_z_score,
    outlier_length,
    position_after,
    smallest_group,
)
from tests.rewards.groups import completion, group, verdicts

SIXTEEN = [*[100] * 15, 1000]
RIGHT = verdicts([True] * 16)


def decode(token_ids):
    return f"{len(token_ids)} tokens"


def cut(lengths, correct=None, num_stds=3.0, margin_tokens=32):
    judged = verdicts([True] * len(lengths) if correct is None else correct)
    revised, found = cut_outliers(group("p", lengths), judged, num_stds, margin_tokens, decode)
    return revised.lengths, [verdict.correct for verdict in found]


def test_an_outlier_begins_three_deviations_beyond_the_mean():
    # 156.25 + 3 * 225 = 831.25
    assert outlier_length(SIXTEEN, 3.0) == 831
    assert outlier_length([100, 300], 1.0) == 341  # 200 + 141.42
    assert outlier_length([50, 50], 3.0) == 50


def test_the_outlier_of_a_group_that_is_all_right_is_cut_and_found_wrong():
    lengths, correct = cut(SIXTEEN)
    assert lengths == [*[100] * 15, 831]
    assert correct == [*[True] * 15, False]


def test_one_wrong_answer_leaves_the_group_untouched():
    judged = [False, *[True] * 15]
    assert cut(SIXTEEN, judged) == (SIXTEEN, judged)


def test_equal_lengths_have_no_outlier():
    assert cut([700] * 16)[0] == [700] * 16


def test_a_group_of_two_has_no_outlier():
    assert cut([1, 30000])[0] == [1, 30000]


@pytest.mark.parametrize(("margin", "longest"), [(168, 831), (169, 831), (170, 1000)])
def test_a_cut_is_worth_at_least_the_margin(margin, longest):
    assert cut(SIXTEEN, margin_tokens=margin)[0][-1] == longest


@given(st.lists(st.integers(1, 32768), min_size=2, max_size=10))
def test_three_deviations_are_out_of_reach_of_ten_completions(lengths):
    assert cut(lengths, margin_tokens=1)[0] == lengths


@given(
    st.lists(st.integers(1, 200), min_size=11, max_size=40),
    st.integers(1, 40000),
    st.floats(0.5, 3.5),
    st.integers(1, 64),
)
def test_cuts_are_those_of_an_obvious_reference(lengths, long, num_stds, margin):
    lengths = [*lengths, long]
    longest = int(mean(lengths) + num_stds * stdev(lengths))
    expected = [longest if n - longest >= margin else n for n in lengths]
    assert cut(lengths, num_stds=num_stds, margin_tokens=margin) == (
        expected,
        [n == e for n, e in zip(lengths, expected, strict=True)],
    )


@given(st.permutations(SIXTEEN))
def test_permuting_a_group_permutes_what_is_cut(lengths):
    assert cut(lengths)[0] == [min(n, 831) for n in lengths]


def test_the_largest_deviation_of_small_groups():
    golden = {8: 2.475, 10: 2.846, 11: 3.015, 32: 5.48}
    assert {size: largest_z_score(size) for size in golden} == pytest.approx(golden, abs=5e-4)


@given(st.floats(0.01, 50))
def test_the_smallest_group_is_the_first_that_reaches_beyond(num_stds):
    size = smallest_group(num_stds)
    assert largest_z_score(size) > num_stds - 1e-9
    assert size == 2 or largest_z_score(size - 1) <= num_stds + 1e-9


def test_a_deviation_that_is_only_touched_is_not_passed():
    # (4 - 1) / sqrt(4) = 1.5
    assert smallest_group(1.5) == 5
    assert smallest_group(1.49) == 4


def test_groups_of_eight_are_refused_and_groups_of_sixteen_are_not():
    (problem,) = DotConfig().problems_in_run(group_size=8, max_response_tokens=100)
    assert problem == (
        "reward.num_stds=3.0 with algorithm.group_size=8: no length of a group so small is more "
        "than 2.47 standard deviations above its mean, so nothing would ever be cut; set "
        "algorithm.group_size>=11 (the paper takes 32) or lower reward.num_stds"
    )
    assert DotConfig().problems_in_run(group_size=10, max_response_tokens=100) != []
    assert DotConfig().problems_in_run(group_size=11, max_response_tokens=100) == []
    assert DotConfig().problems_in_run(group_size=16, max_response_tokens=100) == []


def test_an_outlier_is_what_the_paper_says():
    assert (DotConfig().num_stds, DotConfig().margin_tokens) == (3.0, 32)


def test_options_out_of_range_are_problems():
    assert DotConfig().problems() == []
    assert DotConfig(margin_tokens=1, num_stds=0.5).problems() == []
    assert DotConfig(margin_tokens=0).problems() == ["reward.margin_tokens=0: set it to 1 or more"]
    assert DotConfig(num_stds=0).problems() == [
        "reward.num_stds=0: set it above 0; the paper takes 3"
    ]
    assert DotConfig(num_stds=0).problems_in_run(8, 100) == []


def test_a_cut_completion_is_one_that_was_launched_with_a_lower_limit():
    whole = replace(
        completion("p/0", 5),
        token_ids=np.arange(5, dtype=np.int32),
        logprobs=-np.arange(5, dtype=np.float32),
        spans=(
            Span(start=0, stop=2, weight_version=0),
            Span(start=2, stop=4, weight_version=1),
            Span(start=4, stop=5, weight_version=2),
        ),
    )
    short = first_tokens(whole, 3, decode)
    assert short.token_ids.tolist() == [0, 1, 2]
    assert short.logprobs.tolist() == [0, -1, -2]
    assert [(s.start, s.stop, s.weight_version) for s in short.spans] == [(0, 2, 0), (2, 3, 1)]
    assert (short.id, short.text, short.limit) == ("p/0", "3 tokens", 3)
    assert short.finish is Finish.LIMIT and short.num_tokens == 3
    assert [(s.start, s.stop) for s in first_tokens(whole, 2, decode).spans] == [(0, 2)]


def test_injected_tokens_are_kept_and_not_counted():
    tool_turn = replace(
        completion("p/0", 6),
        spans=(
            Span(start=0, stop=2, weight_version=0),
            Span(start=2, stop=5, weight_version=0, kind=SpanKind.INJECTED),
            Span(start=5, stop=6, weight_version=0),
        ),
    )
    assert [position_after(tool_turn, n) for n in (1, 2, 3)] == [1, 2, 6]
    assert first_tokens(tool_turn, 3, decode).num_tokens == 3
    assert len(first_tokens(tool_turn, 2, decode).token_ids) == 2


def test_a_verdict_says_why_and_keeps_what_functions_measured():
    judged = [*RIGHT[:15], Verdict(correct=True, parts={"style": 0.5})]
    _, found = cut_outliers(group("p", SIXTEEN), judged, 3.0, 32, decode)
    assert found[-1] == Verdict(
        correct=False,
        reason="an outlier of its group, cut from 1000 tokens",
        parts={"style": 0.5},
    )
    assert found[:15] == RIGHT[:15]


def test_what_is_left_is_scored_by_correctness_alone():
    revised, judged = cut_outliers(group("p", SIXTEEN), RIGHT, 3.0, 32, decode)
    (scores,) = build_reward(DotConfig())([revised], [judged])
    assert [s.total for s in scores] == [*[1.0] * 15, 0.0]
    assert all(set(s.parts) == {"correct"} for s in scores)
