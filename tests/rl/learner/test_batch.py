from dataclasses import replace
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from data.types import Completion, Finish, Group, Prompt, Span, SpanKind
from rl.algorithms.aggregation import sequence_mean_token_sum, token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.learner.batch import (
    Row,
    dummy_row,
    log_ratios,
    minibatches_of,
    rows_of,
    split_minibatches,
    with_held_tokens,
    with_right_answers,
    with_token_advantages,
)


def completion(length: int, *injected: tuple[int, int]) -> Completion:
    """A completion of tokens 100, 101, ... with log-probs -0, -1, ...; `injected` spans."""
    edges = sorted({0, length, *(edge for span in injected for edge in span)})
    spans = [
        Span(
            start=start,
            stop=stop,
            kind=SpanKind.INJECTED if (start, stop) in injected else SpanKind.SAMPLED,
            weight_version=0,
        )
        for start, stop in pairwise(edges)
    ]
    return Completion(
        id="c",
        text="",
        token_ids=np.arange(100, 100 + length),
        logprobs=-np.arange(length),
        limit=99,
        finish=Finish.STOP,
        spans=tuple(spans),
    )


def group(prompt_tokens: list[int], *completions: Completion) -> Group:
    prompt = Prompt(id="p", messages=(), token_ids=np.array(prompt_tokens), answer="")
    return Group(prompt=prompt, completions=completions)


def row(num_group: int, length: int) -> Row:
    return Row(
        token_ids=np.zeros(length + 1, dtype=np.int32),
        prompt_length=1,
        mask=np.ones(length, dtype=np.bool_),
        sampler_logprobs=np.zeros(length, dtype=np.float32),
        advantages=np.zeros(length, dtype=np.float32),
        ages=np.zeros(length, dtype=np.int32),
        group=num_group,
    )


def test_a_row_joins_prompt_and_response() -> None:
    (first, second) = rows_of(
        [group([7, 8], completion(3)), group([9], completion(1))], [[2], [5]], 0
    )
    assert first.token_ids.tolist() == [7, 8, 100, 101, 102]
    assert (first.prompt_length, first.response_length, first.num_tokens) == (2, 3, 5)
    assert first.sampler_logprobs.tolist() == [0, -1, -2]
    assert first.advantages.tolist() == [2, 2, 2]
    assert (first.group, second.group) == (0, 1)
    assert second.token_ids.tolist() == [9, 100]


def test_injected_tokens_are_not_trained() -> None:
    (only,) = rows_of([group([7], completion(5, (1, 3)))], [[1.0]], 0)
    assert only.mask.tolist() == [True, False, False, True, True]
    assert only.num_trained == 3


def test_a_token_is_as_old_as_the_weights_that_sampled_it() -> None:
    spans = [Span(start=0, stop=2, weight_version=3), Span(start=2, stop=5, weight_version=4)]
    continued = replace(completion(5), spans=tuple(spans))
    (trained,) = rows_of([group([7], continued)], [[1.0]], version=5)
    assert trained.ages.tolist() == [2, 2, 1, 1, 1]
    (recorded,) = rows_of([group([7], continued)], [[1.0]], version=3)
    assert recorded.ages.tolist() == [0] * 5


def test_weights_are_those_of_the_own_minibatch() -> None:
    rows = [row(0, 1), row(0, 3), row(1, 5), row(1, 5)]
    first, second = split_minibatches(rows, 2, token_mean)
    assert [r.weight for r in first] == [1 / 4, 1 / 4]
    assert [r.weight for r in second] == [1 / 10, 1 / 10]
    (whole,) = split_minibatches(rows, 1, sequence_mean_token_sum)
    assert [r.weight for r in whole] == [1 / 4] * 4


def test_fewer_groups_than_minibatches_is_explained() -> None:
    with pytest.raises(ValueError, match=r"algorithm.num_minibatches=3, but the batch has 2"):
        split_minibatches([row(0, 1), row(1, 1)], 3, token_mean)


@given(st.lists(st.integers(1, 4), min_size=1, max_size=12), st.data())
def test_minibatches_keep_groups_whole_and_in_order(sizes: list[int], data: st.DataObject) -> None:
    num = data.draw(st.integers(1, len(sizes)))
    rows = [row(number, 2) for number, size in enumerate(sizes) for _ in range(size)]
    parts = split_minibatches(rows, num, token_mean)
    groups = [[r.group for r in part] for part in parts]
    assert [number for part in groups for number in part] == [r.group for r in rows]
    assert sum(len(set(part)) for part in groups) == len(sizes)
    counts = [len(set(part)) for part in groups]
    assert max(counts) - min(counts) <= 1


def test_a_dummy_row_trains_nothing() -> None:
    dummy = dummy_row()
    assert (dummy.num_trained, dummy.weight) == (0, 0.0)


def test_held_tokens_are_chosen_over_all_rows_and_never_injected() -> None:
    # Log-probs 0, -1, -2, ...: the first token of the better answer has the largest covariance,
    # then the last one of the worse; position 1 of each is not the policy's.
    better, worse = rows_of(
        [group([7], completion(6, (1, 2)), completion(6, (1, 2)))], [[1.0, -1.0]], 0
    )
    (first, second) = with_held_tokens([better, worse], 0.1)
    assert (first.held.tolist(), second.held.tolist()) == ([0], [])
    (first, second) = with_held_tokens([better, worse], 0.2)
    assert (first.held.tolist(), second.held.tolist()) == ([0], [5])
    (first, second) = with_held_tokens([better, worse], 1.0)
    assert first.held.tolist() == second.held.tolist() == [0, 2, 3, 4, 5]
    assert first.held.dtype == np.int32


def test_rows_without_a_trained_token_hold_none() -> None:
    nothing, something = rows_of(
        [group([7], completion(2, (0, 2)), completion(2))], [[1.0, -1.0]], 0
    )
    assert [r.held.tolist() for r in with_held_tokens([nothing, something], 1.0)] == [[], [0, 1]]
    assert [r.held.tolist() for r in with_held_tokens([nothing], 1.0)] == [[]]


def test_right_answers_are_all_tokens_that_the_policy_sampled_of_them() -> None:
    rows = rows_of([group([7], completion(4, (1, 2)), completion(3))], [[1.0, -1.0]], 0)
    first, second = with_right_answers(rows, [True, False])
    assert (first.right.tolist(), second.right.tolist()) == ([0, 2, 3], [])
    assert first.right.dtype == np.int32


def test_tokens_of_right_answers_count_the_same_within_an_optimizer_step() -> None:
    lengths = [[1, 3, 5], [2, 4], [6]]
    rows = [row(number, n) for number, of_group in enumerate(lengths) for n in of_group]
    right = with_right_answers(rows, [True, False, True, True, False, False])
    # The groups of 1, 3, 5 and of 2, 4 tokens are a minibatch each, that of 6 is the second's too.
    config = GrpoConfig(num_minibatches=2, positive_coefficient=0.5)
    first, second = minibatches_of(right, config, sequence_mean_token_sum)
    assert [r.right_weight for r in first] == [1 / 6, 0, 1 / 6]
    assert [r.right_weight for r in second] == [1 / 2, 0, 0]
    (whole,) = minibatches_of(right, GrpoConfig(positive_coefficient=0.5), token_mean)
    assert [r.right_weight for r in whole] == [1 / 8, 0, 1 / 8, 1 / 8, 0, 0]


def test_without_a_right_answer_there_is_nothing_to_imitate() -> None:
    rows = with_right_answers([row(0, 2), row(0, 3)], [False, False])
    (found,) = minibatches_of(rows, GrpoConfig(positive_coefficient=0.5), token_mean)
    assert [r.right_weight for r in found] == [0, 0]


def test_log_ratios_are_those_of_sampled_tokens_alone() -> None:
    rows = rows_of([group([7], completion(4, (1, 3)), completion(2))], [[0.0, 0.0]], 0)
    reference = [np.array([-0.5, np.nan, np.nan, -1.0], np.float32), np.zeros(2, np.float32)]
    first, second = log_ratios(rows, reference)
    assert first.tolist() == [0.5, -2.0]
    assert second.tolist() == [0.0, -1.0]


def test_advantages_of_tokens_go_to_the_sampled_ones() -> None:
    rows = rows_of([group([7], completion(4, (1, 3)), completion(2))], [[9.0, 9.0]], 0)
    first, second = with_token_advantages(rows, [np.array([0.5, 0.25]), np.array([1.0, 2.0])])
    assert first.advantages.tolist() == [0.5, 0.0, 0.0, 0.25]
    assert second.advantages.tolist() == [1.0, 2.0]
    assert first.advantages.dtype == np.float32
