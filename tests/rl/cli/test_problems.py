"""Combinations that no section can see on its own."""

import math
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from data.config import DataConfig, ModelConfig
from rewards.config import CustomRewardConfig, RewardConfig
from rewards.correct import CorrectConfig
from rewards.gates.grpo_lambda import TopFractionConfig
from rewards.gates.none import NoGateConfig
from rewards.length.da_dler import DaDlerConfig
from rewards.length.dot import DotConfig
from rewards.length.hapo import HapoConfig
from rewards.length.o1_pruner import O1PrunerCodeConfig as O1PrunerCodeRewardConfig
from rewards.length.o1_pruner import O1PrunerConfig as O1PrunerRewardConfig
from rewards.length.sigmoid import SigmoidConfig
from rl.algorithms.config import A3poConfig, TruncatedConfig
from rl.algorithms.grpo import GrpoConfig
from rl.algorithms.o1_pruner import O1PrunerCodeConfig, O1PrunerConfig
from rl.algorithms.ppo import PpoConfig
from rl.algorithms.tppo import TPpoConfig
from rl.allocation.config import GvmConfig, VarianceConfig
from rl.cli.machine import Machine
from rl.cli.model_folder import context_tokens, model_folder
from rl.cli.problems import group_problems, run_problems
from rl.config import (
    ConstantLimitConfig,
    DraftLearnerConfig,
    EvaluationConfig,
    LearnerConfig,
    Offload,
    OversamplingConfig,
    RunConfig,
    RunSection,
    SamplingFilter,
)
from rl.limits.palu import PaluConfig
from rollout.config import (
    Order,
    Placement,
    ReplayConfig,
    Speculation,
    TransformersReplayConfig,
    VllmConfig,
)
from rollout.drafting.config import DraftModelConfig
from rollout.trees.config import TreeConfig

CPU = Machine(num_cores=2, num_gpus=0)
RIGHT = RunConfig(
    model=ModelConfig(path="organisation/model", dtype="float32"),
    data=DataConfig(path="organisation/rows"),
    reward=SigmoidConfig(),
    gate=NoGateConfig(),
    algorithm=GrpoConfig(),
    limit=ConstantLimitConfig(),
    rollout=VllmConfig(),
)


def gpus(count: int, learners: int) -> Machine:
    return Machine(num_cores=8, num_gpus=count, num_local_learners=learners, num_learners=learners)


def test_right_run_has_no_problems() -> None:
    assert run_problems(RIGHT, CPU) == []


def tppo(**changed: Any) -> RunConfig:
    """T-PPO as it should be: the longest answer has 4,096 tokens, four windows."""
    rollout = VllmConfig(window_tokens=1024, max_staleness=3)
    parts = {"reward": CorrectConfig(), "algorithm": TPpoConfig(), "rollout": rollout}
    return replace(RIGHT, **parts | changed)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            tppo(rollout=VllmConfig()),
            "algorithm=tppo with rollout.window_tokens=0: it trains on windows of answers; set "
            "rollout.window_tokens below limit.max_response_tokens=4096, or algorithm=vapo",
        ),
        (
            tppo(rollout=VllmConfig(window_tokens=1000, max_staleness=3)),
            "rollout.max_staleness=3 with algorithm=tppo, limit.max_response_tokens=4096 and "
            "rollout.window_tokens=1000: the first window of the longest answer is 4 versions old "
            "when it ends; set rollout.max_staleness>=4",
        ),
        (
            tppo(reward=SigmoidConfig()),
            "algorithm=tppo with reward=sigmoid and limit=constant: answers are scored as they "
            "end, before their group is complete; set reward=correct, and a limit that does not "
            "learn from groups",
        ),
    ],
)
def test_truncated_ppo_needs_windows_and_no_groups(config: RunConfig, problem: str) -> None:
    shared = replace(tppo().rollout, placement=Placement.shared)
    assert run_problems(tppo(), CPU) == []
    assert run_problems(tppo(deterministic=True), CPU) == []
    assert run_problems(replace(tppo(), rollout=shared), gpus(1, 1)) == []
    assert run_problems(config, CPU) == [problem]


def test_sections_problems_are_collected() -> None:
    config = replace(RIGHT, algorithm=GrpoConfig(group_size=1), rollout=VllmConfig(temperature=0))
    assert [text.split("=")[0] for text in run_problems(config, CPU)] == [
        "algorithm.group_size",
        "rollout.temperature",
    ]


def test_gate_needs_a_length_term() -> None:
    config = replace(RIGHT, reward=CorrectConfig(), gate=TopFractionConfig())
    assert run_problems(config, CPU) == [
        "gate with reward=correct: there is no length term to gate; set gate=none, or a reward "
        "with a length term such as reward=sigmoid"
    ]


def test_a_limit_that_learns_from_pass_rates_must_see_the_groups_that_are_all_right() -> None:
    config = replace(RIGHT, limit=PaluConfig(), algorithm=GrpoConfig(dynamic_sampling=True))
    assert run_problems(config, CPU) == [
        "algorithm.dynamic_sampling=true with a limit that learns from pass rates: groups that are "
        "all right are dropped before the limit sees them, and theirs should fall; set "
        "algorithm.dynamic_sampling=false, or limit=constant"
    ]
    assert run_problems(replace(config, algorithm=GrpoConfig()), CPU) == []


def test_more_minibatches_than_prompts() -> None:
    config = replace(RIGHT, prompts_per_step=2, algorithm=GrpoConfig(num_minibatches=3))
    assert run_problems(config, CPU) == [
        "algorithm.num_minibatches=3 with prompts_per_step=2: a prompt's group is never split; set "
        "algorithm.num_minibatches<=prompts_per_step"
    ]


def vllm(**options: Any) -> RunConfig:
    return replace(RIGHT, rollout=VllmConfig(**options))


ASKS_FOR_MORE = GrpoConfig(
    dynamic_sampling=True, oversampling=OversamplingConfig(initial=2.0, highest=2.0)
)
TREE = TreeConfig(depth=4)


@pytest.mark.parametrize(
    ("config", "problem"),
    [
        (
            replace(vllm(max_staleness=1), deterministic=True),
            "deterministic=true with rollout.max_staleness=1: ",
        ),
        (
            replace(vllm(max_staleness=2), algorithm=ASKS_FOR_MORE),
            "algorithm.oversampling with rollout.max_staleness=2: ",
        ),
        (vllm(window_tokens=64), "rollout.window_tokens=64 with rollout.max_staleness=0: "),
        (
            vllm(window_tokens=4096, max_staleness=1),
            "rollout.window_tokens=4096 with limit.max_response_tokens=4096: ",
        ),
        (
            vllm(window_tokens=64, max_staleness=1, tree=TREE),
            "rollout.window_tokens=64 with rollout.tree.depth=4: ",
        ),
        (vllm(oversample=1.5), "rollout.oversample=1.5 with rollout.max_staleness=0: "),
        (
            vllm(oversample=2.5, max_staleness=1),
            "rollout.oversample=2.5 with rollout.max_staleness=1: some of what is cut is trained "
            "on 2 update(s) later; set rollout.max_staleness>=2",
        ),
        (
            vllm(oversample=1.5, max_staleness=1, tree=TREE),
            "rollout.oversample=1.5 with rollout.tree.depth=4: ",
        ),
        (vllm(oversample=0.5), "rollout.oversample=0.5: set it to 1 (none) or more"),
        (vllm(oversample=math.inf), "rollout.oversample=inf: set it to 1 (none) or more"),
        (vllm(oversample=math.nan), "rollout.oversample=nan: set it to 1 (none) or more"),
    ],
)
def test_what_early_cut_and_shared_answers_exclude(config: RunConfig, problem: str) -> None:
    [found] = run_problems(config, CPU)
    assert found.startswith(problem)


def test_recorded_answers_are_neither_shared_nor_ordered() -> None:
    rollout = replace(REPLAY.rollout, schedule=Order.longest_first, tree=TREE)
    assert run_problems(replace(REPLAY, rollout=rollout), CPU) == [
        "recorded answers: nothing is sampled, cut, shared or ordered; set rollout.tree.depth=1, "
        "rollout.schedule=none"
    ]


def test_steps_of_an_engine_that_sleeps_meanwhile_can_be_cut() -> None:
    machine = Machine(num_cores=8, num_gpus=1)
    shared = vllm(placement=Placement.shared, max_staleness=1)
    [found] = run_problems(shared, machine)
    assert found.startswith("rollout.placement=shared with rollout.max_staleness=1: ")
    cut = vllm(placement=Placement.shared, max_staleness=1, oversample=1.5)
    assert run_problems(cut, machine) == []


def test_a_ratio_to_the_sampler_is_not_corrected_again() -> None:
    [found] = run_problems(replace(REPLAY, correction=TruncatedConfig()), CPU)
    assert found.startswith("correction=truncated with algorithm=o1_pruner: ")
    assert run_problems(REPLAY, CPU) == []


def test_an_interpolated_policy_cannot_hold_tokens_near_the_one_that_began_the_update() -> None:
    algorithm = GrpoConfig(num_minibatches=2, kl_cov_fraction=0.1)
    held = replace(vllm(), algorithm=algorithm)
    [found] = run_problems(replace(held, correction=A3poConfig()), CPU)
    assert found.startswith("correction=a3po with algorithm.kl_cov_fraction=0.1: ")
    assert run_problems(replace(held, correction=TruncatedConfig()), CPU) == []


@pytest.mark.parametrize("method", [Speculation.suffix, Speculation.history])
def test_determinism_excludes_drafts_that_no_checkpoint_holds(method: Speculation) -> None:
    config = replace(RIGHT, deterministic=True, rollout=VllmConfig(speculation=method))
    [problem] = run_problems(config, CPU)
    assert problem.startswith(f"deterministic=true with rollout.speculation={method.value}: ")


def drafting(path: str, **changed: Any) -> RunConfig:
    """The lab's model, drafted for by the model in `path`, with 256 tokens of prompt and answer."""
    rollout = VllmConfig(
        speculation=Speculation.draft_model,
        draft_model=DraftModelConfig(path=path),
        max_prompt_tokens=128,
    )
    model = ModelConfig(path="lab:short", dtype="float32")
    limit = ConstantLimitConfig(max_response_tokens=128)
    return replace(RIGHT, model=model, rollout=rollout, limit=limit, **changed)


def test_a_draft_model_needs_its_path_and_its_speculation() -> None:
    for rollout in (
        VllmConfig(speculation=Speculation.draft_model),
        VllmConfig(draft_model=DraftModelConfig(path="organisation/small")),
    ):
        [problem] = run_problems(replace(RIGHT, rollout=rollout), CPU)
        assert problem.startswith(f"rollout.speculation={rollout.speculation.value} with rollout.")
        assert "a draft model is set by both" in problem
    assert run_problems(drafting("lab:short_tied"), CPU) == []
    assert run_problems(drafting("organisation/small"), CPU) == []


@pytest.mark.parametrize(
    ("stated", "problem"),
    [
        ('{"vocab_size": 449}', "its vocabulary has 449 tokens and that of model.path=lab:short "),
        (
            '{"vocab_size": 448, "max_position_embeddings": 255}',
            "its context of 255 tokens ends before rollout.max_prompt_tokens=128 plus limit.",
        ),
        ("{", "its config.json cannot be read (JSONDecodeError: "),
    ],
)
def test_a_draft_model_speaks_the_policys_tokens_as_far_as_its_answers_go(
    tmp_path: Path, stated: str, problem: str
) -> None:
    (tmp_path / "config.json").write_text(stated)
    [found] = run_problems(drafting(str(tmp_path)), CPU)
    assert found.startswith(f"rollout.draft_model.path={tmp_path}: {problem}")
    (tmp_path / "config.json").write_text('{"vocab_size": 448, "max_position_embeddings": 256}')
    assert run_problems(drafting(str(tmp_path)), CPU) == []


def learning(config: RunConfig, **learner: Any) -> RunConfig:
    options = DraftLearnerConfig(learning_rate=1e-4)
    return replace(config, learner=LearnerConfig(draft_model=options, **learner))


def test_only_a_draft_model_that_there_is_can_learn() -> None:
    assert run_problems(learning(drafting("lab:short_tied")), CPU) == []
    [problem] = run_problems(learning(RIGHT), CPU)
    assert problem.startswith("learner.draft_model.learning_rate=0.0001 without a draft model; ")


def test_a_draft_model_learns_from_an_output_matrix_that_is_whole() -> None:
    [problem] = run_problems(learning(drafting("lab:short_tied"), zero_stage=3), CPU)
    assert problem.startswith(
        "learner.draft_model.learning_rate=0.0001 with learner.zero_stage=3: "
    )


@pytest.mark.parametrize(
    ("options", "problem"),
    [
        ({"learning_rate": -1.0}, "learner.draft_model.learning_rate=-1.0: set it to 0 (it does "),
        ({"num_minibatches": 0}, "learner.draft_model.num_minibatches=0: set it to 1 or more"),
    ],
)
def test_options_of_a_draft_models_learner_have_bounds(
    options: dict[str, Any], problem: str
) -> None:
    config = replace(RIGHT, learner=LearnerConfig(draft_model=DraftLearnerConfig(**options)))
    assert run_problems(config, CPU)[0].startswith(problem)


def test_determinism_excludes_drafts_that_are_drawn() -> None:
    [problem] = run_problems(drafting("lab:short_tied", deterministic=True), CPU)
    assert problem.startswith("deterministic=true with rollout.speculation=draft_model: ")


REMOTE = VllmConfig(placement=Placement.remote, urls=["http://127.0.0.1:1"])


def test_replicas_found_by_their_addresses_are_a_placement_like_others() -> None:
    assert run_problems(replace(RIGHT, rollout=REMOTE), CPU) == []


def test_determinism_excludes_a_network() -> None:
    [problem] = run_problems(replace(RIGHT, rollout=REMOTE, deterministic=True), CPU)
    assert problem.startswith("deterministic=true with rollout.urls: ")


def test_gpus_are_replicated_over_by_vllm_itself() -> None:
    config = replace(RIGHT, rollout=VllmConfig(replicas=2))
    assert run_problems(config, CPU) == []
    machine = Machine(num_cores=8, num_gpus=2)
    assert any(
        text.startswith("rollout.replicas=2: this machine has GPUs")
        for text in run_problems(config, machine)
    )


def test_evaluation_during_training_needs_held_out_prompts() -> None:
    config = replace(RIGHT, evaluation=EvaluationConfig(every_steps=10))
    [problem] = run_problems(config, CPU)
    assert problem.startswith("evaluation.every_steps=10 without data.eval_path: ")


def test_gpu_placement_needs_a_gpu() -> None:
    config = replace(RIGHT, rollout=VllmConfig(placement=Placement.separate))
    [problem] = run_problems(config, CPU)
    assert problem == (
        "rollout.placement=separate: this machine has no GPU; set rollout.placement=auto or cpu"
    )


@pytest.mark.parametrize(
    ("count", "learners", "placement", "devices", "overlaps"),
    [
        (8, 4, Placement.separate, 4, False),
        (8, 4, Placement.separate, 0, False),
        (8, 4, Placement.separate, 5, True),
        (8, 8, Placement.separate, 0, True),
        (8, 8, Placement.shared, 0, False),
        (8, 9, Placement.shared, 0, True),
        (8, 8, Placement.auto, 0, False),
    ],
)
def test_roles_that_overlap_on_a_device_are_refused(
    count: int, learners: int, placement: Placement, devices: int, overlaps: bool
) -> None:
    config = replace(RIGHT, rollout=VllmConfig(placement=placement, devices=devices))
    assert bool(run_problems(config, gpus(count, learners))) == overlaps


def test_only_rank_0_asks_for_an_empty_run_folder(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    config = replace(RIGHT, run=RunSection(dir=str(tmp_path)))
    [problem] = run_problems(config, CPU)
    assert problem.startswith(f"run.dir={tmp_path}: not empty (it holds metrics.jsonl)")
    assert run_problems(config, replace(CPU, rank=1)) == []


def test_resumed_run_may_use_its_own_folder(tmp_path: Path) -> None:
    (tmp_path / "metrics.jsonl").touch()
    config = replace(RIGHT, run=RunSection(dir=str(tmp_path)), resume=str(tmp_path))
    assert run_problems(config, CPU) == []


def test_lab_checkpoints_are_folders_of_the_package() -> None:
    folder = model_folder("lab:short")
    assert folder is not None and folder.parts[-3:] == ("data", "lab", "short")
    assert model_folder("organisation/model") is None
    assert model_folder("/nowhere/model") == Path("/nowhere/model")


def test_unknown_lab_checkpoint_lists_those_there_are() -> None:
    config = replace(RIGHT, model=ModelConfig(path="lab:shrt", dtype="float32"))
    [problem] = run_problems(config, CPU)
    assert problem.startswith("model.path=lab:shrt: the lab has no such checkpoint; there are ")
    assert "lab:short" in problem


def test_context_is_read_from_the_models_folder(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"max_position_embeddings": 512}', encoding="utf-8")
    assert context_tokens(ModelConfig(path=str(tmp_path))) == 512
    assert context_tokens(ModelConfig(path=str(tmp_path), context_tokens=256)) == 256
    assert context_tokens(ModelConfig(path="organisation/model")) == 0


@pytest.mark.parametrize(
    "part",
    [
        {"reward": CustomRewardConfig(target="a.b")},
        {"gate": TopFractionConfig()},
        {"reward": HapoConfig()},
    ],
)
def test_filtering_by_the_reward_needs_one_that_scores_a_group_alone(part: dict[str, Any]) -> None:
    by_reward = GrpoConfig(dynamic_sampling=True, dynamic_sampling_by=SamplingFilter.reward)
    config = replace(RIGHT, algorithm=by_reward, **part)
    (problem,) = run_problems(config, CPU)
    assert problem.startswith("algorithm.dynamic_sampling_by=reward with a gate")
    assert run_problems(replace(RIGHT, algorithm=by_reward), CPU) == []
    by_reward = GrpoConfig(dynamic_sampling_by=SamplingFilter.reward)
    assert run_problems(replace(config, algorithm=by_reward), CPU) == []


def test_filtering_by_a_reward_that_there_is_not_is_no_further_problem() -> None:
    by_reward = GrpoConfig(dynamic_sampling=True, dynamic_sampling_by=SamplingFilter.reward)
    unknown = replace(RIGHT, reward=RewardConfig(), algorithm=by_reward)
    assert run_problems(unknown, CPU) == run_problems(replace(RIGHT, reward=RewardConfig()), CPU)


def test_dot_is_refused_in_groups_of_eight_and_not_in_groups_of_sixteen() -> None:
    small = replace(RIGHT, reward=DotConfig(), algorithm=GrpoConfig(group_size=8))
    (problem,) = run_problems(small, CPU)
    assert "set algorithm.group_size>=11" in problem
    assert run_problems(replace(small, algorithm=GrpoConfig(group_size=16)), CPU) == []


def test_a_reward_that_counts_longer_than_the_limit_is_refused() -> None:
    config = replace(RIGHT, reward=DaDlerConfig(), limit=ConstantLimitConfig(max_response_tokens=9))
    (problem,) = run_problems(config, CPU)
    assert problem.startswith("reward.deadlines=[4000, 2000] with limit.max_response_tokens=9")


REPLAY = replace(
    RIGHT, reward=O1PrunerRewardConfig(), algorithm=O1PrunerConfig(), rollout=ReplayConfig()
)


def test_recorded_answers_suit_o1_pruner_on_either_engine() -> None:
    assert run_problems(REPLAY, CPU) == []
    code = replace(REPLAY, reward=O1PrunerCodeRewardConfig(), algorithm=O1PrunerCodeConfig())
    assert run_problems(replace(code, rollout=TransformersReplayConfig()), CPU) == []


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rollout": VllmConfig()}, "reward=o1_pruner compares with recorded answers"),
        ({"algorithm": GrpoConfig()}, "rollout=replay trains on the initial policy's answers"),
        ({"limit": PaluConfig()}, "rollout=replay holds answers of one limit"),
        ({"allocation": GvmConfig()}, "allocation=gvm with recorded answers: each prompt has"),
        ({"allocation": VarianceConfig()}, "allocation=variance with recorded answers: each"),
        (
            {"algorithm": O1PrunerConfig(group_size=17)},
            "algorithm.group_size=17 with rollout.samples_per_prompt=16",
        ),
        ({"rollout": ReplayConfig(samples_per_prompt=1)}, "rollout.samples_per_prompt=1: set it"),
        ({"rollout": ReplayConfig(max_num_seqs=0)}, "rollout.max_num_seqs=0"),
        ({"rollout": TransformersReplayConfig(max_num_seqs=0)}, "rollout.max_num_seqs=0"),
    ],
)
def test_what_does_not_suit_recorded_answers_is_a_problem(change: Any, said: str) -> None:
    problems = run_problems(replace(REPLAY, **change), CPU)
    assert [text for text in problems if text.startswith(said)]


def test_only_gvm_reads_the_whole_output_matrix() -> None:
    learner = LearnerConfig(zero_stage=3)
    gvm = replace(RIGHT, allocation=GvmConfig(), learner=learner)
    [found] = run_problems(gvm, CPU)
    assert found.startswith("allocation=gvm with learner.zero_stage=3: gradient norms")
    assert run_problems(replace(gvm, allocation=VarianceConfig()), CPU) == []


def test_learner_processes_are_whole_groups_that_cut_sequences() -> None:
    cut = replace(RIGHT, learner=LearnerConfig(sequence_parallel=2))
    assert run_problems(cut, CPU) == []
    assert group_problems(cut, gpus(8, learners=4)) == []
    [found] = group_problems(cut, gpus(8, learners=3))
    assert found.startswith("learner.sequence_parallel=2 with 3 learner process(es), which are not")
    [found] = run_problems(replace(RIGHT, learner=LearnerConfig(sequence_parallel=0)), CPU)
    assert found.startswith("learner.sequence_parallel=0: set it to 1 (sequences stay whole)")


@pytest.mark.parametrize(
    ("config", "said"),
    [
        (replace(RIGHT, algorithm=PpoConfig()), "with algorithm=ppo: its critic reads whole "),
        (replace(RIGHT, allocation=GvmConfig()), "with allocation=gvm: gradient norms are read"),
        (learning(drafting("lab:short_tied")), "with learner.draft_model.learning_rate=0.0001: "),
        (replace(RIGHT, learner=LearnerConfig(share_prefixes=True)), "with learner.share_prefixes"),
    ],
)
def test_what_reads_whole_sequences_excludes_cut_ones(config: RunConfig, said: str) -> None:
    cut = replace(config, learner=replace(config.learner, sequence_parallel=2))
    [found] = run_problems(cut, CPU)
    assert found.startswith(f"learner.sequence_parallel=2 {said}")


@pytest.mark.parametrize(
    ("offload", "stages"),
    [(Offload.none, (0, 1, 2, 3)), (Offload.optimizer, (1, 2, 3)), (Offload.all, (3,))],
)
def test_zero_offloads_what_its_stage_shards(offload: Offload, stages: tuple[int, ...]) -> None:
    for stage in range(4):
        learner = LearnerConfig(zero_stage=stage, offload=offload)
        found = run_problems(replace(RIGHT, learner=learner), CPU)
        assert bool(found) == (stage not in stages)
        assert all(text.startswith(f"learner.offload={offload.value} with ") for text in found)
