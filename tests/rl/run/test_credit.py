"""What a batch is made of, with a learner that is a table of values."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from data.types import Group, LogProbs, Span, SpanKind
from rl.algorithms.grpo import GrpoConfig, grpo
from rl.algorithms.ppo import PpoConfig, ppo
from rl.algorithms.reinforce_pp import ReinforcePpBaselineConfig
from rl.config import Aggregation, AlgorithmConfig, CriticConfig, RunConfig
from rl.learner.batch import Row
from rl.learner.critic import Values
from rl.run.credit import Batch, critic_credit, group_credit, train_on, with_drafter
from rollout.continuation import sampled_since
from tests.rl.builders import completion, group, score

GROUPS = [
    group("a", completion("a0", 4), completion("a1", 2)),
    group("b", completion("b0", 1), completion("b1", 3)),
]
SCORES = [[score(True), score(False)], [score(True), score(True)]]
LAST = 0.7


def values(rows: Sequence[Row]) -> list[Values]:
    """0.1 before the first token, 0.2 before the second, ..., `LAST` after the last."""
    return [
        np.array([*(0.1 * (t + 1) for t in range(row.response_length)), LAST], np.float32)
        for row in rows
    ]


def algorithm(**options: Any) -> PpoConfig:
    critic = CriticConfig(warmup_steps=2, **options.pop("critic", {}))
    return PpoConfig(group_size=2, critic=critic, **options)


def batch(
    config: PpoConfig,
    version: int = 2,
    groups: Sequence[Group] = GROUPS,
    scores: Any = SCORES,
    **parts: Any,
) -> Batch:
    run = RunConfig(algorithm=config)
    return critic_credit(run, config, ppo(config), values, **parts)(groups, scores, version)


def unasked(rows: Sequence[Row]) -> list[LogProbs]:
    raise AssertionError("no reference is asked for without KL in the reward")


def test_group_advantages_are_spread_over_tokens() -> None:
    config = GrpoConfig(group_size=2)
    credit = group_credit(RunConfig(algorithm=config), grpo(config), unasked)
    found = credit(GROUPS, SCORES, 0)
    (rows,) = found.minibatches
    assert [round(advantage, 4) for advantage in found.advantages[0]] == [0.7071, -0.7071]
    assert rows[0].advantages.tolist() == pytest.approx([0.70711] * 4, abs=1e-4)
    assert rows[1].advantages.tolist() == pytest.approx([-0.70711] * 2, abs=1e-4)
    assert found.value_minibatches == [] and found.metrics == {}


def charged(config: AlgorithmConfig) -> tuple[list[list[float]], dict[str, float]]:
    """Advantages per token, and metrics, of a right and a wrong answer of two and one tokens.

    The sampler's log-probs are 0; the initial policy has -0.5, 0.25 and 0.
    """
    reference = [np.array([-0.5, 0.25], np.float32), np.zeros(1, np.float32)]
    run = RunConfig(algorithm=config)
    credit = group_credit(run, lambda *_: [[0.7, -0.7]], lambda rows: reference)
    groups = [group("p", completion("a", 2), completion("b", 1))]
    found = credit(groups, [[score(True), score(False)]], 0)
    return [row.advantages.tolist() for row in found.minibatches[0]], found.metrics


def test_kl_in_the_reward_is_taken_off_the_advantages_token_by_token() -> None:
    # What is to come: 0.5 - 0.25 at the first token, -0.25 at the second.
    (first, second), metrics = charged(GrpoConfig(kl_reward_coefficient=2.0))
    assert first == pytest.approx([0.2, 1.2])
    assert second == pytest.approx([-0.7])
    assert metrics == {"kl_reward": pytest.approx(0.25 / 3)}


def test_reinforce_pp_whitens_what_kl_has_left_of_the_reward() -> None:
    # 0.5 - 0.5, 0.5 + 0.5 and -0.5: mean 1/6, variance with Bessel's correction 7/12.
    (first, second), _ = charged(ReinforcePpBaselineConfig(kl_reward_coefficient=2.0))
    assert first == pytest.approx([-1 / 6 / (7 / 12) ** 0.5, 5 / 6 / (7 / 12) ** 0.5])
    assert second == pytest.approx([-2 / 3 / (7 / 12) ** 0.5])


def test_value_advantages_reach_the_rows_token_by_token() -> None:
    # lambda 1: return - value, before whitening: 1 - (0.1, 0.2, 0.3, 0.4), -(0.1, 0.2), ...
    found = batch(algorithm(policy_lambda=1.0))
    (rows,) = found.minibatches
    plain = np.array([0.9, 0.8, 0.7, 0.6, -0.1, -0.2, 0.9, 0.9, 0.8, 0.7])
    expected = (plain - plain.mean()) / plain.std(ddof=1)
    ours = np.concatenate([row.advantages for row in rows])
    np.testing.assert_allclose(ours, expected, atol=1e-6)
    means = [expected[:4].mean(), expected[4:6].mean(), expected[6], expected[7:].mean()]
    assert np.concatenate(found.advantages) == pytest.approx(means, abs=1e-6)


def test_the_critic_learns_the_rewards_from_the_values_of_the_moment() -> None:
    found = batch(algorithm())
    (rows,) = found.value_minibatches
    assert [row.returns.tolist() for row in rows] == [[1] * 4, [0] * 2, [1], [1] * 3]
    assert rows[1].old_values.tolist() == pytest.approx([0.1, 0.2])
    # Each response counts the same, whatever its length.
    assert [row.weight for row in rows] == [1 / 16, 1 / 8, 1 / 4, 1 / 12]
    assert found.metrics["critic/values/mean"] == pytest.approx(0.2)
    assert found.metrics["critic/returns/mean"] == pytest.approx(0.8)
    # var of the returns: 0.8 x 0.2; of the differences: 5.1 / 10 - 0.6^2
    assert found.metrics["critic/vf_explained_var"] == pytest.approx(1 - 0.15 / 0.16)


def test_returns_that_tie_have_no_variance_to_explain() -> None:
    scores = [[score(True)] * 2] * 2
    assert "critic/vf_explained_var" not in batch(algorithm(), scores=scores).metrics


def test_while_the_critic_warms_up_the_policy_trains_on_nothing() -> None:
    before, after = batch(algorithm(), version=1), batch(algorithm(), version=2)
    assert (before.minibatches, len(after.minibatches)) == ([], 1)
    assert len(before.value_minibatches) == len(after.value_minibatches) == 1


def test_minibatches_of_the_critic_are_as_many_as_the_policys() -> None:
    critic = {"aggregation": Aggregation.token_mean}
    found = batch(algorithm(num_minibatches=2, critic=critic))
    assert [len(rows) for rows in found.value_minibatches] == [2, 2]
    assert [row.weight for row in found.value_minibatches[0]] == [1 / 6, 1 / 6]


def test_injected_tokens_have_neither_advantage_nor_target() -> None:
    spans = (
        Span(start=0, stop=1, weight_version=0),
        Span(start=1, stop=2, kind=SpanKind.INJECTED, weight_version=0),
        Span(start=2, stop=4, weight_version=0),
    )
    groups = [group("a", replace(completion("a0", 4), spans=spans), completion("a1", 2))]
    found = batch(algorithm(), groups=groups, scores=SCORES[:1])
    assert found.minibatches[0][0].advantages[1] == 0
    assert found.value_minibatches[0][0].mask.tolist() == [True, False, True, True]
    assert found.metrics["critic/values/mean"] == pytest.approx((0.1 + 0.3 + 0.4 + 0.1 + 0.2) / 5)


def test_what_goes_on_trains_the_policy_on_its_newest_tokens_and_the_critic_not_at_all() -> None:
    begun = group("c", completion("c0", 3, versions=(1, 2)))
    found = batch(algorithm(), trained=sampled_since, begun=lambda: [begun], groups=GROUPS[:1],
                  scores=SCORES[:1])  # fmt: skip
    (rows,) = found.minibatches
    assert [row.num_trained for row in rows] == [0, 0, 2]
    assert rows[2].mask.tolist() == [False, True, True]
    assert [len(row.returns) for row in found.value_minibatches[0]] == [4, 2]
    assert [len(row) for row in found.advantages] == [2]
    assert found.metrics["rollout/unfinished"] == 1
    assert found.metrics["rollout/trained_tokens"] == 2


def test_while_the_critic_warms_up_no_token_trains_the_policy() -> None:
    warming, warm = batch(algorithm(), version=1), batch(algorithm(), version=2)
    assert (warming.minibatches, warming.metrics["rollout/trained_tokens"]) == ([], 0)
    assert warming.value_minibatches
    assert warm.metrics["rollout/trained_tokens"] > 0


def right(rows: Sequence[Row]) -> list[list[int]]:
    return [row.right.tolist() for row in rows]


def test_verdicts_and_not_rewards_say_which_answers_are_imitated() -> None:
    # A right answer that is too long is worth less than nothing, a short wrong one a little.
    shaped = [replace(score(True), total=-0.5), replace(score(False), total=0.2)]
    groups, config = GROUPS[:1], GrpoConfig(group_size=2, positive_coefficient=0.1)
    credit = group_credit(RunConfig(algorithm=config), grpo(config), unasked)
    assert right(credit(groups, [shaped], 0).minibatches[0]) == [[0, 1, 2, 3], []]
    found = batch(algorithm(positive_coefficient=0.1), groups=groups, scores=[shaped])
    assert right(found.minibatches[0]) == [[0, 1, 2, 3], []]
    assert [row.right_weight for row in found.minibatches[0]] == [1 / 4, 0]


def test_right_answers_are_not_marked_where_they_are_not_imitated() -> None:
    config = GrpoConfig(group_size=2)
    credit = group_credit(RunConfig(algorithm=config), grpo(config), unasked)
    assert right(credit(GROUPS, SCORES, 0).minibatches[0]) == [[]] * 4
    assert right(batch(algorithm()).minibatches[0]) == [[]] * 4


def test_a_right_answer_is_imitated_when_it_ends_with_all_its_windows() -> None:
    ended = group("a", completion("a0", 4, versions=(1, 2)), completion("a1", 2, versions=(2, 2)))
    begun = group("c", completion("c0", 3, versions=(1, 2)))
    found = batch(algorithm(positive_coefficient=0.1), trained=sampled_since,
                  begun=lambda: [begun], groups=[ended], scores=SCORES[:1])  # fmt: skip
    (rows,) = found.minibatches
    assert rows[0].mask.tolist() == [False, True, True, True]
    assert right(rows) == [[0, 1, 2, 3], [], []]


class Learner:
    def __init__(self) -> None:
        self.calls: list[tuple[str, int]] = []

    def update(self, minibatches: Sequence[Sequence[Row]]) -> dict[str, float]:
        self.calls.append(("update", len(minibatches)))
        return {"loss": 0.1}

    def update_critic(self, minibatches: Sequence[Any]) -> dict[str, float]:
        self.calls.append(("update_critic", len(minibatches)))
        return {"critic/vf_loss": 0.5}

    def update_drafter(self, minibatches: Sequence[Sequence[Row]]) -> dict[str, float]:
        self.calls.append(("update_drafter", len(minibatches)))
        return {"draft_model/loss": 0.2}


def test_the_critic_is_updated_first_and_its_loss_stands_in_while_it_warms_up() -> None:
    learner: Any = Learner()
    metrics = train_on(learner, batch(algorithm(num_minibatches=2)))
    assert learner.calls == [("update_critic", 2), ("update", 2)]
    assert (metrics["loss"], metrics["critic/vf_loss"]) == (0.1, 0.5)
    learner.calls.clear()
    assert train_on(learner, batch(algorithm(), version=0))["loss"] == 0.5
    assert learner.calls == [("update_critic", 1)]


def test_a_draft_model_learns_from_every_token_that_the_policy_learnt_from() -> None:
    config = GrpoConfig(group_size=2)
    credit = with_drafter(group_credit(RunConfig(algorithm=config), grpo(config), unasked), 3)
    found = credit(GROUPS, SCORES, 0)
    lengths = [[row.num_trained for row in rows] for rows in found.draft_minibatches]
    weights = [[row.weight for row in rows] for rows in found.draft_minibatches]
    assert lengths == [[4], [2], [1, 3]]
    assert weights == [[1 / 4], [1 / 2], [1 / 4] * 2]
    learner: Any = Learner()
    assert train_on(learner, found) == {"loss": 0.1, "draft_model/loss": 0.2}
    assert learner.calls == [("update", 1), ("update_drafter", 3)]


def test_a_draft_model_waits_while_the_policy_waits_for_the_critic() -> None:
    config = algorithm()
    credit = critic_credit(RunConfig(algorithm=config), config, ppo(config), values)
    assert with_drafter(credit, 4)(GROUPS, SCORES, 0).draft_minibatches == []
