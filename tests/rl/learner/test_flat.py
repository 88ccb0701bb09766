from dataclasses import replace

import numpy as np
import torch

from rl.learner.batch import Row, dummy_row
from rl.learner.flat import flatten


def row(mask: list[bool], weight: float) -> Row:
    length = len(mask)
    return Row(
        token_ids=np.zeros(length + 1, dtype=np.int32),
        prompt_length=1,
        mask=np.array(mask),
        sampler_logprobs=-np.arange(length, dtype=np.float32),
        advantages=np.full(length, 10 * weight, dtype=np.float32),
        ages=np.arange(length, dtype=np.int32),
        weight=weight,
    )


def test_responses_follow_each_other() -> None:
    flat = flatten([row([True, False], 0.5), row([True, True, True], 0.25)], torch.device("cpu"))
    assert flat.mask.tolist() == [True, False, True, True, True]
    assert flat.weights.tolist() == [0.5, 0.5, 0.25, 0.25, 0.25]
    assert flat.advantages.tolist() == [5, 5, 2.5, 2.5, 2.5]
    assert flat.sampler_logprobs.tolist() == [0, -1, 0, -1, -2]
    assert flat.ages.tolist() == [0, 1, 0, 1, 2]
    assert flat.rows.tolist() == [0, 0, 1, 1, 1]
    assert flat.lengths.tolist() == [1, 3]


def test_row_statistics_see_trained_tokens_only() -> None:
    rows = [row([True, False], 0.5), row([True, True, True], 0.25), dummy_row()]
    flat = flatten(rows, torch.device("cpu"))
    values = torch.tensor([1.0, torch.nan, 2.0, 3.0, 7.0, torch.nan])
    assert flat.row_sums(values).tolist() == [1, 12, 0]
    assert flat.row_means(values).tolist() == [1, 4, 0]


def test_tokens_of_right_answers_weigh_in_their_own_row_whether_they_train_or_not() -> None:
    rows = [row([True, True], 1.0), row([True, False, True], 1.0)]
    right = replace(rows[1], right=np.array([0, 1]), right_weight=0.25)
    flat = flatten([rows[0], right], torch.device("cpu"))
    assert flat.right_weights.tolist() == [0, 0, 0.25, 0.25, 0]


def test_held_tokens_are_marked_in_their_own_row() -> None:
    rows = [row([True, True], 1.0), row([True, False, True], 1.0)]
    held = [replace(rows[0], held=np.array([1])), replace(rows[1], held=np.array([0, 2]))]
    flat = flatten(held, torch.device("cpu"))
    assert flat.held.tolist() == [False, True, True, False, True]
    assert flatten(rows, torch.device("cpu")).held.tolist() == [False] * 5
