"""Every metric that a run may log, with its meaning.

The names are those of TRL's `GRPOTrainer` where it has one. A name with `<...>` stands for a
family: `<part>` is a part of the reward, `<level>` a difficulty level, `<k>` and `<cap>` numbers.
`metrics.jsonl`, W&B and the progress bar read the same dict; `check_names` refuses what is not
listed here.
"""

import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from functools import cache


@dataclass(frozen=True, slots=True)
class Metric:
    """One name. `varies`: two runs that are identical bit for bit may log different values."""

    meaning: str
    unit: str = ""
    varies: bool = False


METRICS: dict[str, Metric] = {
    # Reward and advantage of the step's completions.
    "reward": Metric("mean total reward of the completions"),
    "reward_std": Metric("standard deviation of the total reward over the batch"),
    "frac_reward_zero_std": Metric("share of groups whose rewards all tie: no gradient", "share"),
    "rewards/<part>/mean": Metric("mean of one part of the reward"),
    "rewards/<part>/std": Metric("standard deviation of one part of the reward"),
    "accuracy": Metric("share of correct completions among the trained ones", "share"),
    "accuracy/std_error": Metric("its standard error, from the spread of pass rates", "share"),
    "accuracy/frac_all_correct": Metric("share of groups with every answer right", "share"),
    "accuracy/frac_none_correct": Metric("share of groups with every answer wrong", "share"),
    "advantages/abs_mean": Metric("mean size of the advantages"),
    "advantages/max": Metric("largest size of an advantage"),
    "advantages/std_none_correct": Metric(
        "spread of advantages in groups without a right answer: length noise that is trained on"
    ),
    "reward/failed": Metric(
        "completions that verifier or reward functions failed to judge; they left their group"
    ),
    # Length.
    "completions/mean_length": Metric("mean length, truncated ones at their limit", "tokens"),
    "completions/min_length": Metric("shortest completion", "tokens"),
    "completions/max_length": Metric("longest completion", "tokens"),
    "completions/clipped_ratio": Metric("share of completions that hit their limit", "share"),
    "completions/frac_all_clipped": Metric(
        "share of groups whose every completion hit its limit", "share"
    ),
    "completions/mean_terminated_length": Metric("mean length of those that ended", "tokens"),
    "completions/min_terminated_length": Metric("shortest of those that ended", "tokens"),
    "completions/max_terminated_length": Metric("longest of those that ended", "tokens"),
    "completions/mean_correct_length": Metric("mean length of right completions", "tokens"),
    "completions/mean_wrong_length": Metric("mean length of wrong completions", "tokens"),
    "completions/repetition_ratio": Metric("share that the engine ended as a loop", "share"),
    "limit/mean": Metric("mean number of tokens that completions were allowed", "tokens"),
    "limit/min": Metric("smallest number of tokens allowed", "tokens"),
    "limit/max": Metric("largest number of tokens allowed", "tokens"),
    "limit/reset_ratio": Metric("share of groups whose prompt's limit was put back", "share"),
    "limit/custom/<part>": Metric("what a limit of the user's own measures"),
    "num_tokens": Metric("prompt and sampled tokens since the start of the run", "tokens"),
    "step_tokens": Metric(
        "tokens sampled for this step's batch; what leaves of a tree share counts once", "tokens"
    ),
    # Optimization.
    "loss": Metric(
        "what the optimizer minimizes, mean over the minibatches; the critic's while it warms up"
    ),
    "grad_norm": Metric("norm of the gradient before clipping"),
    "skipped_updates": Metric("optimizer steps left out: their gradient was not finite"),
    "learning_rate": Metric("learning rate of the last optimizer step"),
    "entropy": Metric("mean entropy of the policy at sampled tokens", "nats"),
    "kl": Metric("estimated KL(policy, reference) per token", "nats"),
    "kl_reward": Metric("estimated KL(sampler, reference) per token, in the reward", "nats"),
    "kl_cov": Metric("size of the log-ratio at tokens that KL-Cov holds, mean over all", "nats"),
    "positive_nll": Metric("negative log-likelihood of right answers, 0 without any", "nats"),
    "clip_ratio/low_mean": Metric("share of tokens clipped from below", "share"),
    "clip_ratio/low_min": Metric("smallest such share over the completions", "share"),
    "clip_ratio/high_mean": Metric("share of tokens clipped from above", "share"),
    "clip_ratio/high_max": Metric("largest such share over the completions", "share"),
    "clip_ratio/region_mean": Metric("share of tokens clipped on either side", "share"),
    "clip_ratio/dual_mean": Metric("share of tokens at the bound of algorithm.dual_clip", "share"),
    "ratio/mean": Metric("mean importance ratio over the minibatches"),
    "ratio/max": Metric("largest importance ratio"),
    "ratio/min": Metric("smallest importance ratio"),
    "microbatches": Metric("forward passes of one rank in this step"),
    "padding_share": Metric("share of the learner's tokens that are padding", "share"),
    "shared_share": Metric(
        "share of the rows' tokens that a prefix forest does not compute again", "share"
    ),
    "weights/l2": Metric("norm of all weights: a fingerprint of the model"),
    # The critic, under verl's names.
    "critic/vf_loss": Metric("the critic's loss, mean over its minibatches"),
    "critic/vf_clipfrac": Metric("share of tokens whose value is pushed no further", "share"),
    "critic/vf_explained_var": Metric("1 - var(return - value) / var(return), before the update"),
    "critic/vpred_mean": Metric("mean value of the trained tokens, during the update"),
    "critic/values/mean": Metric("mean value of the trained tokens, before the update"),
    "critic/returns/mean": Metric("mean of what their values are to become"),
    "critic/grad_norm": Metric("norm of the critic's gradient before clipping"),
    "critic/skipped_updates": Metric("steps of the critic left out: gradient not finite"),
    # The draft model that learns.
    "draft_model/loss": Metric("the draft model's loss, mean over its minibatches", "nats"),
    "draft_model/acceptance": Metric(
        "chance that a draft at a sampled token is accepted, during the update", "share"
    ),
    "draft_model/grad_norm": Metric("norm of the draft model's gradient before clipping"),
    "draft_model/skipped_updates": Metric("its steps left out: gradient not finite"),
    # Engine against learner.
    "sampling/sampling_logp_difference/mean": Metric("mean |engine - learner| log-prob", "nats"),
    "sampling/sampling_logp_difference/max": Metric("largest |engine - learner|", "nats"),
    "sampling/importance_sampling_ratio/min": Metric("smallest exp(learner - engine)"),
    "sampling/importance_sampling_ratio/mean": Metric("mean exp(learner - engine)"),
    "sampling/importance_sampling_ratio/max": Metric("largest exp(learner - engine)"),
    "sampling/kl": Metric("mean engine - learner log-prob: k1 of KL(engine, learner)", "nats"),
    "sampling/k3_kl": Metric("k3 estimate of KL(engine, learner), never negative", "nats"),
    "sampling/perplexity_ratio": Metric("mean over completions of learner / engine perplexity"),
    "sampling/prob_difference_max": Metric("largest |engine - learner| probability", "share"),
    "sampling/chi2_token": Metric("mean squared token ratio minus one"),
    "sampling/chi2_sequence": Metric("mean squared sequence ratio minus one"),
    "sampling/effective_sample_size": Metric("(sum w)^2 / (N sum w^2) of token ratios", "share"),
    "sampling/k3_kl_fresh": Metric(
        "sampling/k3_kl over the tokens that the weights in force sampled: the engine's part"
    ),
    "sampling/k3_kl_stale": Metric("sampling/k3_kl over the tokens that older weights sampled"),
    "sampling/fresh_ratio": Metric("share of tokens that the weights in force sampled", "share"),
    "correction/weight_mean": Metric("mean importance weight of the trained tokens"),
    "correction/capped_ratio": Metric("share of tokens whose weight is at the cap", "share"),
    "correction/masked_ratio": Metric("share of tokens that the correction masks", "share"),
    "correction/masked_sequences": Metric("share of completions without a token left", "share"),
    "correction/masked_updates": Metric(
        "optimizer steps left out: the correction masked every token"
    ),
    "probe/max_logprob_gap": Metric("largest |engine - learner| log-prob after the sync", "nats"),
    "sync/bytes": Metric("weights sent to the engines after the update", "bytes"),
    "sync/tensors": Metric("tensors among them; what an engine holds already is not sent"),
    # Age of the weights that sampled.
    "staleness/mean": Metric("mean age of a completion's oldest token", "versions"),
    "staleness/max": Metric("greatest age of a token", "versions"),
    "staleness/in_flight_mean": Metric("versions that passed while it was generated", "versions"),
    "staleness/in_queue_mean": Metric("versions that passed until it was trained on", "versions"),
    # The stream: fates of completions since the previous step (`rollout.books.Fate`).
    "stream/trained": Metric("completions handed to the update"),
    "stream/dropped_uniform": Metric("completions in groups that dynamic sampling refused"),
    "stream/group_too_small": Metric("completions left alone in their group"),
    "stream/stale": Metric("completions in groups with a token beyond the staleness bound"),
    "stream/lost_with_engine": Metric("completions lost with an engine and sampled again"),
    "stream/aborted": Metric("completions cancelled before they ended"),
    "stream/unused": Metric("completions of groups that no batch took"),
    "stream/wasted_tokens": Metric("tokens of the completions that nothing trained on", "tokens"),
    # Drafts of an engine, under SkyRL's names where it has one. Lengths of drafts from history
    # follow the clock.
    "vllm/train/draft_acceptance_rate": Metric(
        "accepted share of the drafted tokens", "share", varies=True
    ),
    "vllm/train/draft_mean_acceptance_length": Metric(
        "tokens of a completion per step of the engine, its own one included", "tokens", varies=True
    ),
    "vllm/train/draft_acceptance_rate_pos_<k>": Metric(
        "share of the drafts of k tokens or more whose first k were accepted", "share", varies=True
    ),
    "vllm/train/draft_num_drafts_pos_<k>": Metric("drafts of k tokens or more", varies=True),
    "vllm/train/draft_expected_acceptance_length": Metric(
        "draft_mean_acceptance_length as the controller expected it", "tokens", varies=True
    ),
    "vllm/train/draft_seconds": Metric("drafting, within time/rollout", "s", varies=True),
    "vllm/train/draft_history_tokens": Metric(
        "tokens that are drafted from, of 4 bytes each", "tokens", varies=True
    ),
    "vllm/train/draft_num_draft_tokens": Metric("drafted tokens", "tokens", varies=True),
    "vllm/train/draft_num_accepted_tokens": Metric("accepted tokens", "tokens", varies=True),
    "vllm/train/draft_length": Metric(
        "drafted tokens of a completion per step of the engine, as it was decided",
        "tokens",
        varies=True,
    ),
    "vllm/train/draft_off_share": Metric(
        "share of the completions' steps without a draft", "share", varies=True
    ),
    # Guards (`rl.run.guards`).
    "guards/<guard>": Metric("1 at a step where this guard raised its alarm, else 0"),
    "guards/restored_step": Metric("step whose weights a guard put in force before this step"),
    "allocation/groups_per_prompt": Metric("groups of the update for each of its prompts"),
    # Time.
    "step_time": Metric("the whole step", "s", varies=True),
    "time/rollout": Metric("waiting for judged groups", "s", varies=True),
    "time/score": Metric("the reward", "s", varies=True),
    "time/learn": Metric("values, advantages, old log-probs and optimizer steps", "s", varies=True),
    "time/sync": Metric("weights from learner to engines", "s", varies=True),
    "time/judge": Metric(
        "judging, summed over the verifier's processes; runs beside the rollout, not in step_time",
        "s",
        varies=True,
    ),
    "time/probe": Metric("comparing engine and learner", "s", varies=True),
    "time/evaluate": Metric("evaluation on held-out problems", "s", varies=True),
    "rollout/kept_share": Metric(
        "groups that dynamic sampling kept over groups sampled for this step", "share"
    ),
    "rollout/unfinished": Metric(
        "responses that train as far as they are and go on in a later step"
    ),
    "rollout/trained_tokens": Metric("tokens that train the policy in this step", "tokens"),
    "rollout/tokens_per_second": Metric(
        "sampled tokens over time/rollout", "tokens/s", varies=True
    ),
    "rollout/idle_share": Metric(
        "share of the step's time in which the engine had no request of training",
        "share",
        varies=True,
    ),
    "rollout/mean_running": Metric(
        "requests of training that the engine had at a time, waiting ones included", varies=True
    ),
    "rollout/prompt_cached_share": Metric(
        "share of the prompts' tokens that the engine had in its cache; a continued answer's "
        "tokens are its prompt's",
        "share",
        varies=True,
    ),
    "rollout/makespan": Metric(
        "time of the step in which the engine had requests of training", "s", varies=True
    ),
    "rollout/tail_seconds": Metric(
        "time of it with at most an eighth of the most requests at a time", "s", varies=True
    ),
    # Held-out evaluation; samples at the recipe's evaluation temperature unless named greedy.
    "eval/accuracy": Metric("share correct, mean over problems of the mean over samples", "share"),
    "eval/accuracy_low": Metric("lower end of its 95 % bootstrap interval over problems", "share"),
    "eval/accuracy_high": Metric("upper end of its 95 % interval", "share"),
    "eval/pass@<k>": Metric("chance that one of k samples is right", "share"),
    "eval/response_tokens": Metric("mean length, truncated ones at their limit", "tokens"),
    "eval/response_tokens_low": Metric("lower end of its 95 % bootstrap interval", "tokens"),
    "eval/response_tokens_high": Metric("upper end of its 95 % interval", "tokens"),
    "eval/tokens_per_correct": Metric("tokens spent for one right answer", "tokens"),
    "eval/cap_<cap>/accuracy": Metric("share correct within that many tokens", "share"),
    "eval/correct_tokens": Metric("mean length of right completions", "tokens"),
    "eval/wrong_tokens": Metric("mean length of wrong completions", "tokens"),
    "eval/truncated": Metric("share of completions that hit their limit", "share"),
    "eval/accuracy_greedy": Metric("share correct at temperature 0", "share"),
    "eval/response_tokens_greedy": Metric("mean length at temperature 0", "tokens"),
    "eval/grader_failures": Metric("completions without a verdict, left out of the accuracy"),
    "eval/level_<level>/accuracy": Metric("share correct at one difficulty level", "share"),
    "eval/level_<level>/response_tokens": Metric("mean length at one level", "tokens"),
    "eval/aes": Metric("accuracy-efficiency score against the base, weights 1/3/5"),
}

HELD_OUT = "the recipe has held-out problems (data.eval_path)"

CONDITIONS: dict[str, str] = {
    "advantages/std_none_correct": "a group has no right answer",
    "completions/mean_correct_length": "a completion is right",
    "completions/mean_wrong_length": "a completion is wrong",
    "limit/reset_ratio": "limit=palu or palu_all",
    "limit/custom/<part>": "limit=custom",
    "kl": "algorithm.kl_coefficient > 0",
    "kl_reward": "algorithm.kl_reward_coefficient > 0",
    "kl_cov": "algorithm.kl_cov_fraction > 0",
    "positive_nll": "algorithm.positive_coefficient > 0",
    "shared_share": "learner.share_prefixes",
    "clip_ratio/": "the loss of the algorithm clips on that side (cispo: from above, sapo: none)",
    "clip_ratio/dual_mean": "algorithm.dual_clip > 0",
    "sampling/k3_kl_fresh": "a token was sampled by the weights that it trains",
    "sampling/k3_kl_stale": "a token was sampled by older weights than those that it trains",
    "rollout/unfinished": "the algorithm has a critic",
    "rollout/trained_tokens": "the algorithm has a critic",
    "critic/": "the algorithm has a critic",
    "critic/vf_explained_var": "the algorithm has a critic, and returns differ",
    "draft_model/": "learner.draft_model.learning_rate > 0",
    "allocation/": "allocation=gvm or variance",
    "probe/max_logprob_gap": "rollout.probe_tokens > 0",
    "rollout/prompt_cached_share": "rollout=vllm, and rollout.placement is not remote",
    "vllm/": "rollout.speculation is history or draft_model",
    "vllm/train/draft_expected_acceptance_length": "rollout.speculation=history, draft_length=0",
    "vllm/train/draft_seconds": "rollout.speculation=history",
    "vllm/train/draft_history_tokens": "rollout.speculation=history",
    "guards/restored_step": "a guard restored an earlier checkpoint",
    "time/evaluate": HELD_OUT,
    "eval/": HELD_OUT,
    "eval/pass@<k>": "evaluation.samples_per_problem > 1",
    "eval/correct_tokens": "a completion of the evaluation is right",
    "eval/wrong_tokens": "a completion of the evaluation is wrong",
    "eval/accuracy_greedy": "evaluation.greedy",
    "eval/response_tokens_greedy": "evaluation.greedy",
    "eval/level_<level>/accuracy": "the problems have levels",
    "eval/level_<level>/response_tokens": "the problems have levels",
    "eval/aes": "it is the second evaluation or a later one",
}
"""What must be so for a name, or a beginning of names, to be logged; all others always are."""

TABLES: dict[str, str] = {
    "completions": "completions of a training step with their rewards, every log.table_every_steps",
    "eval/completions": "the first sample of the first problems, at every evaluation",
}
"""Tables that W&B gets beside the metrics, of at most log.table_rows; parquet holds more."""


def condition(name: str) -> str:
    """What must be so for a listed name to be logged; empty when it always is."""
    return CONDITIONS.get(name) or CONDITIONS.get(f"{name.partition('/')[0]}/", "")


def matching(name: str, logged: Iterable[str]) -> list[str]:
    """Those of `logged` that a listed name, perhaps a family, stands for."""
    return [each for each in logged if _pattern(name).fullmatch(each)]


def check_table(name: str) -> None:
    """Raises ValueError when a table is not listed."""
    if name not in TABLES:
        raise ValueError(f"{name!r} is not in TABLES of rl/run/metrics.py; add it with its meaning")


def check_names(metrics: Mapping[str, float]) -> None:
    """Raises ValueError when a name is not listed, with the nearest one that is."""
    unknown = [name for name in metrics if not _listed(name)]
    if not unknown:
        return
    hints = [
        f"{name!r} (nearest: {', '.join(get_close_matches(name, METRICS, n=1)) or 'none'})"
        for name in unknown
    ]
    raise ValueError(
        f"metrics that rl/run/metrics.py does not list: {'; '.join(hints)}. "
        "Add each with its meaning, or use the listed name"
    )


def varies(name: str) -> bool:
    """Whether two identical runs may log different values under this name (times, speeds)."""
    matches = [m for pattern, m in METRICS.items() if _pattern(pattern).fullmatch(name)]
    if not matches:
        raise ValueError(f"{name!r} is not listed in rl/run/metrics.py")
    return matches[0].varies


def _listed(name: str) -> bool:
    return name in METRICS or any(_pattern(pattern).fullmatch(name) for pattern in METRICS)


@cache
def _pattern(name: str) -> re.Pattern[str]:
    return re.compile(re.sub(r"<[a-z]+>", r"[^/<>]+", re.escape(name)))
