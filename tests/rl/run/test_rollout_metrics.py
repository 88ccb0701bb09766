import math
from dataclasses import replace

import numpy as np
import pytest

from data.types import Finish
from rl.run.metrics import check_names
from rl.run.rollout_metrics import (
    draft_metrics,
    engine_metrics,
    pass_rate_std_error,
    prompt_metrics,
    rollout_metrics,
    time_metrics,
)
from rollout.drafting.acceptance import Acceptance
from rollout.prompt_tokens import PromptTokens
from rollout.timeline import Activity, Kind
from tests.rl.builders import completion, group, score

GROUPS = [
    group("a", completion("a0", 4), completion("a1", 8, versions=(1, 3))),
    group("b", completion("b0", 16, Finish.LIMIT), completion("b1", 12, Finish.REPETITION)),
]
SCORES = [[score(True, -0.2), score(True, 0.4)], [score(False), score(False)]]
ADVANTAGES = [[-1.0, 1.0], [0.5, -0.5]]


def test_worked_example() -> None:
    metrics = rollout_metrics(GROUPS, SCORES, ADVANTAGES, version=4)
    check_names(metrics)
    expected = {
        "reward": (0.8 + 1.4) / 4,
        "frac_reward_zero_std": 0.5,
        "rewards/length/mean": 0.05,
        "rewards/correct/mean": 0.5,
        "accuracy": 0.5,
        "accuracy/std_error": math.sqrt(0.5**2 + 0.5**2 + 0.25) / 2,  # pass rates 1 and 0
        "accuracy/frac_all_correct": 0.5,
        "accuracy/frac_none_correct": 0.5,
        "advantages/abs_mean": 0.75,
        "advantages/max": 1.0,
        "advantages/std_none_correct": 0.5,
        "completions/mean_length": 10.0,
        "completions/min_length": 4.0,
        "completions/max_length": 16.0,
        "completions/clipped_ratio": 0.25,
        "completions/mean_terminated_length": 8.0,
        "completions/max_terminated_length": 12.0,
        "completions/mean_correct_length": 6.0,
        "completions/mean_wrong_length": 14.0,
        "completions/repetition_ratio": 0.25,
        "limit/mean": 16.0,
        "step_tokens": 40.0,
        "staleness/mean": (4 + 3 + 4 + 4) / 4,
        "staleness/max": 4.0,
        "staleness/in_flight_mean": 0.5,
        "staleness/in_queue_mean": (4 + 1 + 4 + 4) / 4,
    }
    assert {name: metrics[name] for name in expected} == pytest.approx(expected)


def test_tokens_that_leaves_of_a_tree_share_were_sampled_once() -> None:
    """Two leaves of 4 tokens whose first 3 are one segment: 3 + 1 + 1."""
    first, rest = completion("", 4).spans
    spans = (replace(first, stop=3), replace(rest, start=3, parent="trunk"))
    tree = group("t", *(replace(completion(leaf, 4), spans=spans) for leaf in ("x", "y")))
    metrics = rollout_metrics([tree], SCORES[:1], ADVANTAGES[:1], version=0)
    assert (metrics["step_tokens"], metrics["completions/mean_length"]) == (5.0, 4.0)


def test_a_single_group_says_least_about_the_accuracy() -> None:
    assert pass_rate_std_error(np.array([1.0])) == 0.5
    # Eight groups that agree: sqrt(1 / 4) / 8.
    assert pass_rate_std_error(np.ones(8)) == 0.0625


def test_reward_deviation_is_over_the_batch_with_bessels_correction() -> None:
    metrics = rollout_metrics(GROUPS, SCORES, ADVANTAGES, version=0)
    assert metrics["reward_std"] == pytest.approx(np.std([0.8, 1.4, 0, 0], ddof=1))


def test_a_mean_over_no_completion_is_left_out() -> None:
    right = [GROUPS[0]]
    metrics = rollout_metrics(right, SCORES[:1], ADVANTAGES[:1], version=0)
    assert "completions/mean_wrong_length" not in metrics
    assert "advantages/std_none_correct" not in metrics


def test_terminated_lengths_are_zero_as_in_trl_when_all_are_truncated() -> None:
    cut = [group("a", completion("a0", 16, Finish.LIMIT), completion("a1", 16, Finish.LIMIT))]
    metrics = rollout_metrics(cut, SCORES[1:], ADVANTAGES[1:], version=0)
    assert metrics["completions/mean_terminated_length"] == 0.0
    assert metrics["completions/clipped_ratio"] == 1.0


def test_the_order_of_groups_does_not_matter() -> None:
    backwards = rollout_metrics(GROUPS[::-1], SCORES[::-1], ADVANTAGES[::-1], version=4)
    assert rollout_metrics(GROUPS, SCORES, ADVANTAGES, version=4) == pytest.approx(backwards)


def test_drafts_by_hand() -> None:
    """Of four steps of a completion, three drafted: 2, 2 and 1 tokens, of which 2, 0 and 1 pass."""
    drafts = Acceptance(
        verifications=4,
        drafted_at=[3, 2],
        accepted_at=[2, 1],
        expected=2.0,
        draft_seconds=0.25,
        stored_tokens=70,
    )
    metrics = draft_metrics(drafts)
    check_names(metrics)
    assert {name.removeprefix("vllm/train/draft_"): value for name, value in metrics.items()} == {
        "acceptance_rate": 3 / 5,
        "mean_acceptance_length": 1 + 3 / 4,
        "num_draft_tokens": 5,
        "num_accepted_tokens": 3,
        "length": 5 / 4,
        "off_share": 1 / 4,
        "seconds": 0.25,
        "history_tokens": 70,
        "expected_acceptance_length": 1 + 2 / 4,
        "num_drafts_pos_1": 3,
        "num_drafts_pos_2": 2,
        "acceptance_rate_pos_1": 2 / 3,
        "acceptance_rate_pos_2": 1 / 2,
    }
    assert draft_metrics(Acceptance()) == {}


def test_what_nobody_expected_is_not_logged() -> None:
    metrics = draft_metrics(Acceptance(verifications=4, drafted_at=[3], accepted_at=[2]))
    assert "vllm/train/draft_expected_acceptance_length" not in metrics


def test_prompts_in_the_cache_are_a_share_of_those_that_were_asked() -> None:
    metrics = prompt_metrics(PromptTokens(asked=80, cached=60))
    check_names(metrics)
    assert metrics == {"rollout/prompt_cached_share": 0.75}
    assert prompt_metrics(PromptTokens()) == {}


def test_step_time_is_the_sum_of_its_parts() -> None:
    metrics = time_metrics({"rollout": 2.0, "learn": 0.5}, step_tokens=100)
    check_names(metrics)
    assert metrics == {
        "time/rollout": 2.0,
        "time/learn": 0.5,
        "step_time": 2.5,
        "rollout/tokens_per_second": 50.0,
    }


def test_engine_is_idle_while_the_learner_works_and_requests_are_counted_at_a_time() -> None:
    """A step of 10 s: two requests of 4 s, one of which began 2 s before the step."""
    requests = [
        Activity(kind=Kind.GENERATE, lane="engine", name=str(start), start=start, end=start + 4)
        for start in (98.0, 101.0)
    ]
    assert engine_metrics(requests, 100.0, 110.0) == {
        "rollout/idle_share": 0.5,
        "rollout/mean_running": 0.6,
        "rollout/makespan": 5.0,
        "rollout/tail_seconds": 0.0,
    }


def test_the_tail_of_a_step_is_what_its_last_requests_take() -> None:
    """Eight requests of a second, and one that goes on for three."""
    requests = [
        Activity(kind=Kind.GENERATE, lane="engine", name=str(n), start=0.0, end=1.0 + 3 * (n == 8))
        for n in range(9)
    ]
    metrics = engine_metrics(requests, 0.0, 5.0)
    check_names(metrics)
    assert (metrics["rollout/makespan"], metrics["rollout/tail_seconds"]) == (4.0, 3.0)
