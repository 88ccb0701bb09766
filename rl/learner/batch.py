"""Rows: what the learner sees of a completion, and how rows become minibatches.

groups -> rows_of -> with_right_answers (imitation) -> with_token_advantages (KL in the reward) ->
split_minibatches (assigns the loss weights) -> with_right_weights (imitation), with_held_tokens
(KL-Cov) -> micro-batches of every rank
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from itertools import groupby, pairwise
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from data.types import Completion, Group, LogProbs, SpanKind, TokenIds
from rl.algorithms.aggregation import RowWeights, token_mean
from rl.algorithms.kl_cov import held_tokens
from rl.config import AlgorithmConfig


@dataclass(frozen=True, slots=True, kw_only=True)
class TokenRow:
    """One completion of n = prompt_length + T tokens, of which those under `mask` [T] train.

    `weight` is the factor of the row's token sum in the loss of its minibatch.
    """

    token_ids: TokenIds
    prompt_length: int
    mask: NDArray[np.bool_]
    weight: float = 0.0

    @property
    def num_tokens(self) -> int:
        """Prompt and response tokens."""
        return len(self.token_ids)

    @property
    def response_length(self) -> int:
        return len(self.mask)

    @property
    def num_trained(self) -> int:
        return int(self.mask.sum())


AnyRow = TypeVar("AnyRow", bound=TokenRow)


@dataclass(frozen=True, slots=True, kw_only=True)
class Row(TokenRow):
    """A completion as the policy trains on it: `mask` is True on tokens that the policy sampled.

    `advantages` [T] are per token. `ages` [T] are the weight versions between the weights that
    sampled a token and those that the update starts from. Rows of equal `group` answer one prompt
    and share a minibatch. `held` are the positions [K] of the tokens that KL-Cov holds. `right` are
    those of the tokens that the policy imitates, all that it sampled of a right answer, under
    `mask` or not, and `right_weight` is the factor of their sum.
    """

    sampler_logprobs: LogProbs
    advantages: NDArray[np.float32]
    ages: NDArray[np.int32]
    group: int = 0
    held: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    right: NDArray[np.int32] = field(default_factory=lambda: np.zeros(0, np.int32))
    right_weight: float = 0.0


@dataclass(frozen=True, slots=True, kw_only=True)
class ValueRow(TokenRow):
    """A finished response as the critic trains on it: every sampled token of all its windows.

    `old_values` [T] are those that the update starts from, `returns` [T] those to learn.
    """

    old_values: NDArray[np.float32]
    returns: NDArray[np.float32]


def minibatches_of(
    rows: Sequence[Row], algorithm: AlgorithmConfig, weigh: RowWeights
) -> list[list[Row]]:
    """The rows of an update, minibatch by minibatch, with all that `algorithm` trains them by."""
    minibatches = split_minibatches(rows, algorithm.num_minibatches, weigh)
    if algorithm.positive_coefficient:
        minibatches = [with_right_weights(rows) for rows in minibatches]
    if not algorithm.kl_cov_fraction:
        return minibatches
    return [with_held_tokens(rows, algorithm.kl_cov_fraction) for rows in minibatches]


def rows_of(
    groups: Sequence[Group], advantages: Sequence[Sequence[float]], version: int
) -> list[Row]:
    """One row per completion, in order; `advantages` [P][G] are spread over a row's tokens.

    `version` is that of the weights that will score them.
    """
    return [
        row_of(group, completion, advantage, number, version)
        for number, (group, of_group) in enumerate(zip(groups, advantages, strict=True))
        for completion, advantage in zip(group.completions, of_group, strict=True)
    ]


def row_of(
    group: Group, completion: Completion, advantage: float, number: int, version: int
) -> Row:
    """The row of one completion of the `number`-th group; its weight is still 0."""
    return Row(
        token_ids=np.concatenate([group.prompt.token_ids, completion.token_ids]),
        prompt_length=len(group.prompt.token_ids),
        mask=sampled_mask(completion),
        sampler_logprobs=completion.logprobs,
        advantages=np.full(len(completion.token_ids), advantage, dtype=np.float32),
        ages=token_ages(completion, version),
        group=number,
    )


def sampled_mask(completion: Completion) -> NDArray[np.bool_]:
    """True [T] on the tokens of sampled spans, False on injected ones."""
    mask = np.zeros(len(completion.token_ids), dtype=np.bool_)
    for span in completion.spans:
        mask[span.start : span.stop] = span.kind is SpanKind.SAMPLED
    return mask


def log_ratios(rows: Sequence[Row], reference: Sequence[LogProbs]) -> list[NDArray[np.float64]]:
    """log sampler - log reference at the n trained tokens of each row; `reference` is [T] each."""
    return [
        (row.sampler_logprobs.astype(np.float64) - logprobs)[row.mask]
        for row, logprobs in zip(rows, reference, strict=True)
    ]


def with_right_answers(rows: Sequence[Row], correct: Sequence[bool]) -> list[Row]:
    """`rows` with the sampled tokens of those that are `correct` [B] marked as right."""
    return [
        replace(row, right=np.flatnonzero(row.mask).astype(np.int32)) if is_right else row
        for row, is_right in zip(rows, correct, strict=True)
    ]


def with_token_advantages(
    rows: Sequence[Row], advantages: Sequence[NDArray[np.float64]]
) -> list[Row]:
    """`rows`, each trained token with its own of the advantages [n] of its row; others have 0."""
    return [
        replace(row, advantages=spread(values, row.mask))
        for row, values in zip(rows, advantages, strict=True)
    ]


def spread(values: NDArray[np.float64], mask: NDArray[np.bool_]) -> NDArray[np.float32]:
    """`values` [n] at the n places [T] where `mask` is True, 0 at the others."""
    spaced = np.zeros(len(mask), np.float32)
    spaced[mask] = values
    return spaced


def token_ages(completion: Completion, version: int) -> NDArray[np.int32]:
    """Weight versions [T] that `version` is ahead of the one that sampled each token.

    A recording keeps the versions of the run that made it, so a token may seem to be newer than
    the weights that train on it; its age is 0.
    """
    ages = np.zeros(len(completion.token_ids), dtype=np.int32)
    for span in completion.spans:
        ages[span.start : span.stop] = max(version - span.weight_version, 0)
    return ages


def split_minibatches(rows: Sequence[Row], num: int, weigh: RowWeights) -> list[list[Row]]:
    """`rows` in `num` minibatches of whole groups, each row with its weight in its minibatch.

    Groups keep their order; minibatch sizes differ by one group at most. Raises ValueError when
    there are fewer groups than minibatches.
    """
    groups = [list(members) for _, members in groupby(rows, key=lambda row: row.group)]
    if len(groups) < num:
        raise ValueError(
            f"algorithm.num_minibatches={num}, but the batch has {len(groups)} groups and a group "
            f"is never split; set algorithm.num_minibatches<={len(groups)} or raise "
            "prompts_per_step"
        )
    bounds = [len(groups) * part // num for part in range(num + 1)]
    return [
        weighted([row for group in groups[start:stop] for row in group], weigh)
        for start, stop in pairwise(bounds)
    ]


def weighted(rows: Sequence[AnyRow], weigh: RowWeights) -> list[AnyRow]:
    """`rows`, the rows of one optimizer step, with the weights that `weigh` gives them."""
    weights = weigh([row.num_trained for row in rows])
    return [replace(row, weight=weight) for row, weight in zip(rows, weights, strict=True)]


def with_right_weights(rows: Sequence[Row]) -> list[Row]:
    """`rows`, the rows of one optimizer step; a token of any right answer counts the same."""
    weights = token_mean([len(row.right) for row in rows])
    return [replace(row, right_weight=w) for row, w in zip(rows, weights, strict=True)]


def with_held_tokens(rows: Sequence[Row], fraction: float) -> list[Row]:
    """`rows`, the rows of one optimizer step, with the tokens that KL-Cov holds in them.

    Tokens are weighed by the sampler's log-probs: the choice knows all ranks and micro-batches
    before any of them has run.
    """
    logprobs = np.concatenate([row.sampler_logprobs[row.mask] for row in rows])
    advantages = np.concatenate([row.advantages[row.mask] for row in rows])
    is_held = np.zeros(len(logprobs), np.bool_)
    is_held[held_tokens(logprobs, advantages, fraction)] = True
    parts = np.split(is_held, np.cumsum([row.num_trained for row in rows])[:-1])
    return [
        replace(row, held=np.flatnonzero(row.mask)[part].astype(np.int32))
        for row, part in zip(rows, parts, strict=True)
    ]


def even_minibatches(rows: Sequence[AnyRow], num: int, weigh: RowWeights) -> list[list[AnyRow]]:
    """`rows` in at most `num` minibatches whose sizes differ by one, weighted; none of no rows."""
    num = min(num, len(rows))
    bounds = [len(rows) * part // num for part in range(num + 1)] if num else []
    return [weighted(rows[start:stop], weigh) for start, stop in pairwise(bounds)]


def dummy_row() -> Row:
    """A row of two tokens that trains nothing: a rank without work runs it in step with others."""
    return Row(
        token_ids=np.zeros(2, dtype=np.int32),
        prompt_length=1,
        mask=np.zeros(1, dtype=np.bool_),
        sampler_logprobs=np.zeros(1, dtype=np.float32),
        advantages=np.zeros(1, dtype=np.float32),
        ages=np.zeros(1, dtype=np.int32),
    )


def dummy_value_row() -> ValueRow:
    """As `dummy_row`, for the critic."""
    return ValueRow(
        token_ids=np.zeros(2, dtype=np.int32),
        prompt_length=1,
        mask=np.zeros(1, dtype=np.bool_),
        old_values=np.zeros(1, dtype=np.float32),
        returns=np.zeros(1, dtype=np.float32),
    )
