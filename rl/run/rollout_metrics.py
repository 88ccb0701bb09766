"""Metrics computed from the completions of one step, their scores and their advantages.

Pure functions to dicts of the names in `rl.run.metrics`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from data.types import Completion, Finish, Group, Score
from rollout.drafting.acceptance import Acceptance
from rollout.prompt_tokens import PromptTokens
from rollout.timeline import Activity, idle_share, mean_running, seconds_by_running, tail_seconds
from rollout.trees.metrics import sampled_tokens

Floats = NDArray[np.float64]


def rollout_metrics(
    groups: Sequence[Group],
    scores: Sequence[Sequence[Score]],
    advantages: Sequence[Sequence[float]],
    version: int,
) -> dict[str, float]:
    """Metrics of one update's completions; scores and advantages are [P][G] like the groups.

    `version` is the weight version that is about to be updated. A mean over nothing (no wrong
    completion, say) is left out, except where TRL logs 0.
    """
    completions = [c for group in groups for c in group.completions]
    flat_scores = [score for row in scores for score in row]
    return {
        **reward_metrics(scores),
        **advantage_metrics(scores, advantages),
        **length_metrics(completions, np.array([s.correct for s in flat_scores], bool)),
        "completions/frac_all_clipped": float(
            np.mean([all(c.truncated for c in group.completions) for group in groups])
        ),
        "step_tokens": float(sum(map(sampled_tokens, groups))),
        **staleness_metrics(completions, version),
    }


def reward_metrics(scores: Sequence[Sequence[Score]]) -> dict[str, float]:
    """Reward, its parts and correctness of [P][G] scores; deviations have Bessel's correction."""
    flat = [score for row in scores for score in row]
    totals = np.array([score.total for score in flat])
    stds = np.array([_std([score.total for score in row]) for row in scores])
    solved = [np.mean([score.correct for score in row]) for row in scores]
    metrics = {
        "reward": float(totals.mean()),
        "reward_std": _std(totals),
        "frac_reward_zero_std": float(np.isclose(stds, 0.0).mean()),
        "accuracy": float(np.mean([score.correct for score in flat])),
        "accuracy/std_error": pass_rate_std_error(np.array(solved, float)),
        "accuracy/frac_all_correct": float(np.mean([share == 1 for share in solved])),
        "accuracy/frac_none_correct": float(np.mean([share == 0 for share in solved])),
    }
    for part in sorted({name for score in flat for name in score.parts}):
        values = [score.parts[part] for score in flat if part in score.parts]
        metrics[f"rewards/{part}/mean"] = float(np.mean(values))
        metrics[f"rewards/{part}/std"] = _std(values)
    return metrics


def pass_rate_std_error(pass_rates: Floats) -> float:
    """Standard error of the mean of P groups' pass rates [P].

    One more group, of the largest variance that a share can have, 1/4, is added to the squares:
    few groups, or groups that agree, are no proof of certainty.
    """
    num_groups = len(pass_rates)
    squares = np.square(pass_rates - pass_rates.mean()).sum() + 0.25
    return float(np.sqrt(squares) / num_groups)


def advantage_metrics(
    scores: Sequence[Sequence[Score]], advantages: Sequence[Sequence[float]]
) -> dict[str, float]:
    """Size of the [P][G] advantages, and their spread where nobody was right."""
    sizes = np.abs([value for row in advantages for value in row])
    metrics = {"advantages/abs_mean": float(sizes.mean()), "advantages/max": float(sizes.max())}
    unsolved = [
        value
        for row, values in zip(scores, advantages, strict=True)
        if not any(score.correct for score in row)
        for value in values
    ]
    if unsolved:
        metrics["advantages/std_none_correct"] = float(np.std(unsolved))
    return metrics


def length_metrics(
    completions: Sequence[Completion], correct: NDArray[np.bool_]
) -> dict[str, float]:
    """Lengths [B] in sampled tokens, of all, of those that ended, of the right and the wrong."""
    lengths = np.array([c.num_tokens for c in completions], float)
    truncated = np.array([c.truncated for c in completions], bool)
    limits = np.array([c.limit for c in completions], float)
    ended = lengths[~truncated] if not truncated.all() else np.zeros(1)
    metrics = {
        **_spread("completions/{}_length", lengths),
        **_spread("completions/{}_terminated_length", ended),
        **_spread("limit/{}", limits),
        "completions/clipped_ratio": float(truncated.mean()),
        "completions/repetition_ratio": float(
            np.mean([c.finish is Finish.REPETITION for c in completions])
        ),
    }
    if correct.any():
        metrics["completions/mean_correct_length"] = float(lengths[correct].mean())
    if not correct.all():
        metrics["completions/mean_wrong_length"] = float(lengths[~correct].mean())
    return metrics


def staleness_metrics(completions: Sequence[Completion], version: int) -> dict[str, float]:
    """Age in weight versions when `version` is updated, split at the completion's last token."""
    oldest, newest = np.array([c.weight_versions for c in completions]).T
    return {
        "staleness/mean": float((version - oldest).mean()),
        "staleness/max": float((version - oldest).max()),
        "staleness/in_flight_mean": float((newest - oldest).mean()),
        "staleness/in_queue_mean": float((version - newest).mean()),
    }


def draft_metrics(drafts: Acceptance) -> dict[str, float]:
    """What became of the drafts of a step; nothing where nothing was sampled beside its prompt.

    The counts go by vLLM's verifications, one for each running completion and step of the engine.
    """
    if not drafts.verifications:
        return {}
    name = "vllm/train/draft_{}".format
    history = {
        name("seconds"): drafts.draft_seconds,
        name("history_tokens"): float(drafts.stored_tokens),
    }
    expected = {name("expected_acceptance_length"): drafts.expected_length}
    return {
        name("acceptance_rate"): drafts.draft_acceptance,
        name("mean_acceptance_length"): drafts.accepted_length,
        name("num_draft_tokens"): float(sum(drafts.drafted_at)),
        name("num_accepted_tokens"): float(sum(drafts.accepted_at)),
        name("length"): drafts.draft_length,
        name("off_share"): drafts.undrafted,
        **(history if drafts.draft_seconds else {}),
        **(expected if drafts.expected else {}),
        **{
            name(f"num_drafts_pos_{position}"): float(count)
            for position, count in enumerate(drafts.drafted_at, 1)
        },
        **{
            name(f"acceptance_rate_pos_{position}"): rate
            for position, rate in enumerate(drafts.survival, 1)
        },
    }


def prompt_metrics(prompts: PromptTokens) -> dict[str, float]:
    """How much of a step's prompts the engine had in its cache; nothing where it does not say."""
    return {"rollout/prompt_cached_share": prompts.cached_share} if prompts.asked else {}


def time_metrics(seconds: Mapping[str, float], step_tokens: float) -> dict[str, float]:
    """`time/<part>` of a stopwatch's seconds, their sum, and the engine's speed."""
    metrics = {f"time/{part}": value for part, value in seconds.items()}
    metrics["step_time"] = sum(seconds.values())
    if seconds.get("rollout"):
        metrics["rollout/tokens_per_second"] = step_tokens / seconds["rollout"]
    return metrics


def engine_metrics(activities: Sequence[Activity], start: float, end: float) -> dict[str, float]:
    """How idle the engine was in a step of [start, end), and how many requests it had at a time."""
    by_running = seconds_by_running(activities, start, end)
    return {
        "rollout/idle_share": idle_share(activities, start, end),
        "rollout/mean_running": mean_running(activities, start, end),
        "rollout/makespan": sum(seconds for running, seconds in by_running.items() if running),
        "rollout/tail_seconds": tail_seconds(by_running),
    }


def _spread(name: str, values: Floats) -> dict[str, float]:
    return {
        name.format("mean"): float(values.mean()),
        name.format("min"): float(values.min()),
        name.format("max"): float(values.max()),
    }


def _std(values: Sequence[float] | Floats) -> float:
    return float(np.std(values, ddof=1)) if len(values) > 1 else 0.0
