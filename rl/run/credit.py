"""Credit: what every token of an update is worth, by comparison in groups or by a critic.

scored groups -> rows -> values, if there is a critic -> advantages -> minibatches of the policy
and, of the finished responses, minibatches of the critic; those of a draft model that learns.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace
from itertools import islice
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.types import Completion, Group, LogProbs, Score
from rl.algorithms.actor_critic import Estimate, Responses, value_targets
from rl.algorithms.aggregation import row_weights, token_mean
from rl.algorithms.gae import Floats, explained_variance
from rl.algorithms.group import Advantages, totals
from rl.algorithms.kl_reward import kl_to_go
from rl.algorithms.table import penalised_advantages
from rl.config import ActorCriticConfig, RunConfig
from rl.learner.batch import (
    Row,
    ValueRow,
    even_minibatches,
    log_ratios,
    minibatches_of,
    rows_of,
    sampled_mask,
    with_right_answers,
    with_token_advantages,
)
from rl.learner.critic import Values
from rl.learner.ranks import LearnerGroup


@dataclass(frozen=True, slots=True, kw_only=True)
class Batch:
    """What an update trains on. `advantages` [P][G] are each completion's, or its tokens' mean."""

    minibatches: list[list[Row]]
    value_minibatches: list[list[ValueRow]] = field(default_factory=list)
    draft_minibatches: list[list[Row]] = field(default_factory=list)
    advantages: list[list[float]]
    metrics: dict[str, float] = field(default_factory=dict)


Credit = Callable[[Sequence[Group], Sequence[Sequence[Score]], int], Batch]
"""From the groups of the update of some weights, their scores [P][G] and the weights' version."""

ComputeLogprobs = Callable[[Sequence[Row]], list[LogProbs]]
"""Log-probs [T] of every row's response."""

ComputeValues = Callable[[Sequence[Row]], list[Values]]
"""Values [T + 1] of every row: before each response token, and after the last."""

Trained = Callable[[Completion, int], NDArray[np.bool_]]
"""The tokens [T] of a completion that the update of weights of this version trains on."""


def train_on(learner: LearnerGroup, batch: Batch) -> dict[str, float]:
    """The critic's optimizer steps, if there is one, then the policy's, unless that waits.

    While the critic warms up, its loss is the only one that there is. A draft model that learns
    follows the policy, towards the weights that sample next.
    """
    metrics = dict(batch.metrics)
    if batch.value_minibatches:
        metrics |= learner.update_critic(batch.value_minibatches)
    if not batch.minibatches:
        return metrics | {"loss": metrics["critic/vf_loss"]}
    metrics |= learner.update(batch.minibatches)
    if batch.draft_minibatches:
        metrics |= learner.update_drafter(batch.draft_minibatches)
    return metrics


def group_credit(
    config: RunConfig, advantages: Advantages, reference_logprobs: ComputeLogprobs
) -> Credit:
    """Every token of a completion is worth what `advantages` says of the completion.

    Less what KL in the reward costs it, by the initial policy's `reference_logprobs`.
    """
    algorithm = config.algorithm
    weigh = row_weights(algorithm.aggregation, config.limit.max_response_tokens)

    def credit(groups: Sequence[Group], scores: Sequence[Sequence[Score]], version: int) -> Batch:
        found = advantages(groups, scores)
        rows, metrics = rows_of(groups, found, version), {}
        if algorithm.positive_coefficient:
            rows = with_right_answers(rows, correctness(scores))
        if algorithm.kl_reward_coefficient:
            ratios = log_ratios(rows, reference_logprobs(rows))
            penalties = [algorithm.kl_reward_coefficient * kl_to_go(each) for each in ratios]
            by_token = penalised_advantages(algorithm)(found, scores, penalties)
            rows = with_token_advantages(rows, by_token)
            metrics = {"kl_reward": float(np.concatenate(ratios).mean())}
        minibatches = minibatches_of(rows, algorithm, weigh)
        return Batch(minibatches=minibatches, advantages=found, metrics=metrics)

    return credit


def critic_credit(
    config: RunConfig,
    algorithm: ActorCriticConfig,
    estimate: Estimate,
    values: ComputeValues,
    trained: Trained = lambda completion, version: sampled_mask(completion),
    begun: Callable[[], Sequence[Group]] = lambda: (),
) -> Credit:
    """Every token has an advantage of its own, from the critic's `values`.

    The policy trains on the tokens that `trained` chooses, of the groups' completions and of those
    that have `begun` and go on in the next step; the critic on the groups' completions alone. While
    the critic warms up the policy trains on nothing.
    """
    critic, horizon = algorithm.critic, config.limit.max_response_tokens
    weigh = row_weights(algorithm.aggregation, horizon)
    weigh_values = row_weights(critic.aggregation, horizon)

    def credit(groups: Sequence[Group], scores: Sequence[Sequence[Score]], version: int) -> Batch:
        everything = [*groups, *begun()]
        nothing = [[0.0] * len(group.completions) for group in everything]
        rows = rows_of(everything, nothing, version)
        states = values(rows)
        rewards = [reward for of_group in totals(scores) for reward in of_group]
        masks = [trained(c, version) for group in everything for c in group.completions]
        responses = responses_of(rows, states, rewards, masks, config.rollout.window_tokens)
        targets = value_targets(responses, algorithm.discount, critic.target_lambda)
        num_unfinished = len(rows) - len(rewards)
        # The rows of finished responses come first.
        value_rows = list(map(value_row, rows[: len(rewards)], states, targets))
        if algorithm.positive_coefficient:
            rows = with_right_answers(rows, [*correctness(scores), *[False] * num_unfinished])
        rows = with_advantages(rows, estimate(responses), masks)
        warm = version >= critic.warmup_steps
        return Batch(
            minibatches=minibatches_of(rows, algorithm, weigh) if warm else [],
            value_minibatches=even_minibatches(value_rows, algorithm.num_minibatches, weigh_values),
            advantages=mean_advantages(rows, groups),
            metrics=critic_metrics(value_rows)
            | window_metrics(rows if warm else [], num_unfinished),
        )

    return credit


def with_drafter(credit: Credit, num_minibatches: int) -> Credit:
    """As `credit`; a draft model learns from what the policy learns from, every token alike."""

    def credit_both(
        groups: Sequence[Group], scores: Sequence[Sequence[Score]], version: int
    ) -> Batch:
        batch = credit(groups, scores, version)
        rows = [row for minibatch in batch.minibatches for row in minibatch]
        return replace(batch, draft_minibatches=even_minibatches(rows, num_minibatches, token_mean))

    return credit_both


def correctness(scores: Sequence[Sequence[Score]]) -> list[bool]:
    """Whether each answer is right, group after group, whatever its reward."""
    return [score.correct for of_group in scores for score in of_group]


def responses_of(
    rows: Sequence[Row],
    states: Sequence[Values],
    rewards: Sequence[float],
    trained: Sequence[NDArray[np.bool_]],
    window: int,
) -> Responses:
    """The rows [B] as the formulas read them; the first ones have `rewards`, the others go on.

    Values before each token and after the last are `states` [B][T + 1]. A response that goes on is
    taken to end in the middle of its next `window`, as in T-PPO's recipe.
    """
    finished = np.arange(len(rows)) < len(rewards)
    lengths = np.array([row.num_trained for row in rows], np.float64)
    return Responses(
        rewards=np.array([*rewards, *[0.0] * (len(rows) - len(rewards))]),
        values=padded([of_row[:-1].astype(np.float64) for of_row in states]),
        after=np.array([of_row[-1] for of_row in states], np.float64),
        sampled=padded([row.mask for row in rows]),
        trained=padded(trained),
        finished=finished,
        lengths=np.where(finished, lengths, lengths + window / 2),
    )


def padded(arrays: Sequence[NDArray[Any]]) -> NDArray[Any]:
    """Arrays [T] of one type as rows [B, T], filled up with 0; column by column in memory, as
    `rl.algorithms.gae` reads them."""
    whole = np.zeros((len(arrays), max(map(len, arrays))), arrays[0].dtype, order="F")
    for row, array in zip(whole, arrays, strict=True):
        row[: len(array)] = array
    return whole


def with_advantages(
    rows: Sequence[Row], advantages: Floats, trained: Sequence[NDArray[np.bool_]]
) -> list[Row]:
    """`rows` with their `advantages` [B, T], which train on the tokens of the masks [B][T]."""
    return [
        replace(row, mask=mask, advantages=of_row[: len(mask)].astype(np.float32))
        for row, of_row, mask in zip(rows, advantages, trained, strict=True)
    ]


def value_row(row: Row, states: Values, targets: Floats) -> ValueRow:
    """What the critic learns from a response, with its `targets` [T] and padding behind."""
    return ValueRow(
        token_ids=row.token_ids,
        prompt_length=row.prompt_length,
        mask=row.mask,
        old_values=states[:-1],
        returns=targets[: row.response_length].astype(np.float32),
    )


def mean_advantages(rows: Sequence[Row], groups: Sequence[Group]) -> list[list[float]]:
    """Mean advantage of the trained tokens of each completion [P][G], 0 of none.

    `rows` begin with those of the groups.
    """
    means = (float(row.advantages[row.mask].mean()) if row.num_trained else 0.0 for row in rows)
    return [list(islice(means, len(group.completions))) for group in groups]


def critic_metrics(rows: Sequence[ValueRow]) -> dict[str, float]:
    """How the values that the update starts from stand to their targets, over all their tokens."""
    values = np.concatenate([row.old_values[row.mask] for row in rows]).astype(np.float64)
    returns = np.concatenate([row.returns[row.mask] for row in rows]).astype(np.float64)
    found = {
        "critic/values/mean": float(values.mean()),
        "critic/returns/mean": float(returns.mean()),
    }
    explained = explained_variance(values, returns)
    return found if np.isnan(explained) else found | {"critic/vf_explained_var": explained}


def window_metrics(rows: Sequence[Row], num_unfinished: int) -> dict[str, float]:
    """What the policy trains on, which is not what ended in this step."""
    return {
        "rollout/unfinished": float(num_unfinished),
        "rollout/trained_tokens": float(sum(row.num_trained for row in rows)),
    }
