"""What is wrong between the sections of a run, each of which may be right on its own."""

from pathlib import Path

from data.bounds import too_small
from rewards.config import CustomRewardConfig, RewardConfig
from rewards.correct import CorrectConfig
from rewards.gates.none import NoGateConfig
from rewards.length.o1_pruner import O1PrunerConfig as O1PrunerRewardConfig
from rl.algorithms.config import A3poConfig, CorrectionConfig
from rl.algorithms.o1_pruner import O1PrunerConfig
from rl.allocation.config import GvmConfig, PilotConfig
from rl.cli.budget_problems import budget_problems
from rl.cli.machine import Machine, chosen_placement
from rl.cli.model_problems import context_problems, draft_model_problems, model_problems
from rl.cli.options import asks_for, option_name
from rl.cli.rollout_problems import (
    asynchrony_problems,
    cut_and_tree_problems,
    truncated_ppo_problems,
)
from rl.config import ActorCriticConfig, ConstantLimitConfig, RunConfig, SamplingFilter
from rl.limits.palu import PaluConfig
from rl.run.config import GuardAction
from rollout.config import Placement, RecordingConfig, Speculation, VllmConfig


def run_problems(config: RunConfig, machine: Machine) -> list[str]:
    """Every problem of a run on `machine`, those of its sections first."""
    sections = (
        config.model, config.data, config.budget, config.verifier, config.reward, config.gate,
        config.algorithm, config.correction, config.allocation, config.limit, config.rollout,
        config.learner, config.evaluation, config.checkpoint, config.log, config.guards,
    )  # fmt: skip
    found = [problem for section in sections for problem in section.problems()]
    for check in (
        _sizes,
        _combinations,
        budget_problems,
        _scoring,
        asynchrony_problems,
        cut_and_tree_problems,
        truncated_ppo_problems,
        _correction,
        _allocation,
        _replay,
        _resume,
        _remote,
        model_problems,
        context_problems,
        draft_model_problems,
        _sequence_parallel,
    ):
        found += check(config)
    return found + _placement(config, machine) + (_folder(config) if machine.rank == 0 else [])


def group_problems(config: RunConfig, machine: Machine) -> list[str]:
    """What is wrong with the number of learner processes, for those commands that have them all."""
    size = config.learner.sequence_parallel
    if machine.num_learners % size == 0:
        return []
    return [
        f"learner.sequence_parallel={size} with {machine.num_learners} learner process(es), which "
        f"are not groups of {size}; set --nproc-per-node to a multiple of {size}, or "
        "learner.sequence_parallel=1"
    ]


def _sizes(config: RunConfig) -> list[str]:
    found = too_small("", config, num_steps=0, prompts_per_step=1)
    if config.algorithm.num_minibatches > config.prompts_per_step > 0:
        found.append(
            f"algorithm.num_minibatches={config.algorithm.num_minibatches} with "
            f"prompts_per_step={config.prompts_per_step}: a prompt's group is never split; set "
            "algorithm.num_minibatches<=prompts_per_step"
        )
    return found


def _combinations(config: RunConfig) -> list[str]:
    found = []
    if isinstance(config.reward, CorrectConfig) and not isinstance(config.gate, NoGateConfig):
        found.append(
            "gate with reward=correct: there is no length term to gate; set gate=none, or a "
            "reward with a length term such as reward=sigmoid"
        )
    if isinstance(config.limit, PaluConfig) and config.algorithm.dynamic_sampling:
        found.append(
            "algorithm.dynamic_sampling=true with a limit that learns from pass rates: groups that "
            "are all right are dropped before the limit sees them, and theirs should fall; set "
            "algorithm.dynamic_sampling=false, or limit=constant"
        )
    restoring = [n for n, g in config.guards.named().items() if g.action is GuardAction.restore]
    if restoring and not config.checkpoint.every_steps:
        found.append(
            f"guards.{restoring[0]}.action=restore with checkpoint.every_steps=0: there would be "
            "nothing to restore; set checkpoint.every_steps>0, or the action stop"
        )
    if config.evaluation.every_steps and not config.data.eval_path:
        found.append(
            f"evaluation.every_steps={config.evaluation.every_steps} without data.eval_path: there "
            "is nothing to evaluate on; set data.eval_path or evaluation.every_steps=0"
        )
    if max(config.evaluation.caps, default=0) > config.limit.max_response_tokens:
        found.append(
            f"evaluation.caps={config.evaluation.caps}: completions end at limit."
            f"max_response_tokens={config.limit.max_response_tokens}, so nothing is known beyond; "
            "lower the caps or raise the limit"
        )
    return found


def _scoring(config: RunConfig) -> list[str]:
    """What the reward asks of the run, and what dynamic sampling asks of the reward."""
    algorithm = config.algorithm
    found = config.reward.problems_in_run(algorithm.group_size, config.limit.max_response_tokens)
    by_reward = algorithm.dynamic_sampling_by is SamplingFilter.reward
    if algorithm.dynamic_sampling and by_reward and _sees_update(config):
        found.append(
            "algorithm.dynamic_sampling_by=reward with a gate, reward=custom or a reward that "
            "remembers: a group is kept or dropped before the update is complete that these are "
            "given; set algorithm.dynamic_sampling_by=correctness"
        )
    return found


def _sees_update(config: RunConfig) -> bool:
    """Whether the reward of one group depends on the groups beside it or before it."""
    if type(config.reward) is RewardConfig:
        return False  # A choice that does not exist is a problem of its own.
    return (
        not isinstance(config.gate, NoGateConfig)
        or isinstance(config.reward, CustomRewardConfig)
        or asks_for("reward", config.reward, "memory")
    )


def _resume(config: RunConfig) -> list[str]:
    """What would make a resumed run, or its choice of checkpoints, differ from what was asked."""
    found = []
    method = config.rollout.speculation if isinstance(config.rollout, VllmConfig) else None
    if config.deterministic and method in (Speculation.suffix, Speculation.history):
        found.append(
            f"deterministic=true with rollout.speculation={method.value}: its drafts come from all "
            "earlier completions, which no checkpoint holds; set rollout.speculation=none or ngram"
        )
    if config.deterministic and method is Speculation.draft_model:
        found.append(
            "deterministic=true with rollout.speculation=draft_model: drafts are drawn by the "
            "engine's own generator, whose state no checkpoint holds; set rollout.speculation=none "
            "or ngram"
        )
    if config.checkpoint.keep_best and not (
        config.checkpoint.every_steps and config.evaluation.every_steps
    ):
        found.append(
            f"checkpoint.keep_best={config.checkpoint.keep_best}: the best are chosen among steps "
            "that are saved and evaluated; set checkpoint.every_steps and evaluation.every_steps"
        )
    return found


def _allocation(config: RunConfig) -> list[str]:
    """What pilots are: prompts that are sampled; GVM also reads the learner's output matrix."""
    if not isinstance(config.allocation, PilotConfig):
        return []
    found = []
    if isinstance(config.allocation, GvmConfig) and config.learner.zero_stage == 3:
        found.append(
            "allocation=gvm with learner.zero_stage=3: gradient norms are read off the whole "
            "output matrix; set learner.zero_stage=2 or allocation=uniform"
        )
    if isinstance(config.rollout, RecordingConfig):
        found.append(
            f"allocation={option_name('allocation', config.allocation)} with recorded answers: "
            "each prompt has those that were recorded; set allocation=uniform"
        )
    return found


def _correction(config: RunConfig) -> list[str]:
    algorithm, correction = config.algorithm, config.correction
    name = option_name("correction", correction)
    found = []
    if isinstance(algorithm, O1PrunerConfig) and type(correction) is not CorrectionConfig:
        found.append(
            f"correction={name} with algorithm={option_name('algorithm', algorithm)}: its ratio is "
            "to the sampler already; set correction=none"
        )
    if isinstance(correction, A3poConfig) and algorithm.kl_cov_fraction:
        found.append(
            f"correction={name} with algorithm.kl_cov_fraction={algorithm.kl_cov_fraction}: the "
            "policy that began the update, to which tokens are held, is not computed; set "
            "correction=truncated or algorithm.kl_cov_fraction=0"
        )
    return found


def _remote(config: RunConfig) -> list[str]:
    if not (
        isinstance(config.rollout, VllmConfig) and config.rollout.urls and config.deterministic
    ):
        return []
    return [
        "deterministic=true with rollout.urls: requests reach replicas over a network one by one, "
        "so that no two runs are the same; set deterministic=false or rollout.urls=[]"
    ]


def _replay(config: RunConfig) -> list[str]:
    """Recorded answers need an objective that knows their age, and the one limit of their time."""
    rollout, group_size = config.rollout, config.algorithm.group_size
    if not isinstance(rollout, RecordingConfig):
        if not isinstance(config.reward, O1PrunerRewardConfig):
            return []
        return [
            "reward=o1_pruner compares with recorded answers of the initial policy; set "
            "rollout=replay, or another reward"
        ]
    found = []
    if group_size > rollout.samples_per_prompt:
        found.append(
            f"algorithm.group_size={group_size} with rollout.samples_per_prompt="
            f"{rollout.samples_per_prompt}: as many answers are not recorded; set "
            "rollout.samples_per_prompt>=algorithm.group_size"
        )
    if not isinstance(config.algorithm, O1PrunerConfig):
        found.append(
            "rollout=replay trains on the initial policy's answers, which this algorithm takes for "
            "the present policy's; set algorithm=o1_pruner, or rollout=vllm"
        )
    if not isinstance(config.limit, ConstantLimitConfig):
        found.append(
            "rollout=replay holds answers of one limit, and this limit changes; set limit=constant"
        )
    return found


def _sequence_parallel(config: RunConfig) -> list[str]:
    """What cut sequences exclude: whatever needs a row's hidden states in one place."""
    size = config.learner.sequence_parallel
    if size <= 1:
        return []
    given, whole = f"learner.sequence_parallel={size}", "learner.sequence_parallel=1"
    found = []
    if isinstance(config.algorithm, ActorCriticConfig):
        found.append(
            f"{given} with algorithm={option_name('algorithm', config.algorithm)}: its critic "
            f"reads whole sequences; set another algorithm, or {whole}"
        )
    if isinstance(config.allocation, GvmConfig):
        found.append(
            f"{given} with allocation=gvm: gradient norms are read off whole responses; set "
            f"allocation=uniform, or {whole}"
        )
    if config.learner.draft_model.learning_rate:
        found.append(
            f"{given} with learner.draft_model.learning_rate="
            f"{config.learner.draft_model.learning_rate}: the draft model learns from the policy's "
            f"states of whole sequences; set learner.draft_model.learning_rate=0, or {whole}"
        )
    return found


def _placement(config: RunConfig, machine: Machine) -> list[str]:
    if not isinstance(config.rollout, VllmConfig):
        return []
    placement = chosen_placement(config.rollout.placement, machine)
    learners, gpus = machine.num_local_learners, machine.num_gpus
    if config.rollout.replicas > 1 and placement is not Placement.cpu:
        return [
            f"rollout.replicas={config.rollout.replicas}: this machine has GPUs, over which vLLM "
            "replicates by itself; set rollout.replicas=1 (rollout.devices counts them)"
        ]
    if placement in (Placement.separate, Placement.shared) and not gpus:
        return [
            f"rollout.placement={placement.value}: this machine has no GPU; set "
            "rollout.placement=auto or cpu"
        ]
    if placement is Placement.separate and learners + max(1, config.rollout.devices) > gpus:
        return [
            f"rollout.placement=separate with rollout.devices={config.rollout.devices}: {learners} "
            f"learner processes and {max(1, config.rollout.devices)} engine devices overlap on "
            f"{gpus} GPUs; lower --nproc-per-node or rollout.devices, or set "
            "rollout.placement=shared"
        ]
    cuts = config.rollout.window_tokens or config.rollout.oversample > 1
    if placement is Placement.shared and config.rollout.max_staleness and not cuts:
        return [
            f"rollout.placement=shared with rollout.max_staleness={config.rollout.max_staleness}: "
            "the engine sleeps while the learner updates, so nothing is sampled ahead; set "
            "rollout.max_staleness=0, rollout.placement=separate, or rollout.oversample above 1"
        ]
    if placement is Placement.shared and learners > gpus:
        return [
            f"rollout.placement=shared: {learners} learner processes on {gpus} GPUs; set "
            f"--nproc-per-node {gpus}"
        ]
    return []


def _folder(config: RunConfig) -> list[str]:
    folder = Path(config.run.dir)
    try:
        if not config.run.dir or config.resume or not folder.exists():
            return []
    except (OSError, ValueError) as error:
        return [f"run.dir={config.run.dir!r:.200} is no path ({error!s:.100}); set another folder"]
    if not folder.is_dir():
        return [f"run.dir={config.run.dir}: is a file; set run.dir to a new folder"]
    content = sorted(path.name for path in folder.iterdir())
    if not content:
        return []
    return [
        f"run.dir={config.run.dir}: not empty (it holds {', '.join(content[:3])}"
        f"{', ...' if len(content) > 3 else ''}) and a run never overwrites; set run.dir to a new "
        f"folder, or resume={config.run.dir} to continue the run in it"
    ]
