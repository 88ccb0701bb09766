"""`laconic plan`: what a run would use, from its configuration alone."""

from pathlib import Path

from rl.cli.machine import Machine, chosen_placement
from rl.cli.memory import LearnerMemory, engine_weight_bytes, host_bytes, learner_memory
from rl.cli.model_folder import draft_model_path
from rl.cli.options import option_name
from rl.cli.recipe import show
from rl.cli.shapes import Shapes, model_shapes
from rl.cli.threads import learner_threads
from rl.config import ActorCriticConfig, Backbone, LearnerConfig, RunConfig
from rollout.config import Placement, TransformersConfig, VllmConfig
from rollout.vllm.placement import engine_gpus

GIB = 2**30
MIB = 2**20
Row = tuple[str, str, str, str]


def plan_text(recipe: Path, config: RunConfig, machine: Machine) -> str:
    """The plan as text: choices, tokens per step, threads, then device x role x memory."""
    shapes = model_shapes(config.model)
    lines = [f"plan of {show(recipe)}", "", *_summary(config, machine, shapes), ""]
    if shapes is None:
        lines.append(
            f"memory: the shapes of {config.model.path} are unknown here; set "
            "model.num_parameters, model.num_layers, model.hidden_size, model.intermediate_size, "
            "model.num_kv_heads and model.head_dim"
        )
    else:
        lines += _table([("device", "role", "memory", "of which"), *_rows(config, machine, shapes)])
        lines += ["", *_notes(config, shapes)]
    return "\n".join(lines) + "\n"


def placement_of(config: RunConfig, machine: Machine) -> Placement:
    """Where the engines go; one in the learner's process shares its device."""
    if not isinstance(config.rollout, VllmConfig):
        return Placement.shared if machine.num_gpus else Placement.cpu
    return chosen_placement(config.rollout.placement, machine)


def engine_devices(config: RunConfig, machine: Machine) -> list[int]:
    """GPUs with an engine, by index; none on the CPU."""
    if not isinstance(config.rollout, VllmConfig):
        return [0] if machine.num_gpus else []
    placement, learners = placement_of(config, machine), machine.num_local_learners
    return engine_gpus(placement, config.rollout.devices, learners, machine.num_gpus)


def tokens_per_step(config: RunConfig) -> int:
    """Response tokens of one update when every completion runs to the longest limit."""
    completions = config.prompts_per_step * config.algorithm.group_size
    return completions * config.limit.max_response_tokens


def _summary(config: RunConfig, machine: Machine, shapes: Shapes | None) -> list[str]:
    choices = ", ".join(
        f"{group}={option_name(group, section)}"
        for group, section in (
            ("algorithm", config.algorithm), ("budget", config.budget), ("reward", config.reward),
            ("gate", config.gate), ("limit", config.limit), ("rollout", config.rollout),
            ("learner", config.learner),
        )
    )  # fmt: skip
    completions = config.prompts_per_step * config.algorithm.group_size
    threads = learner_threads(config.learner.num_threads, machine)
    return [
        f"method     {choices}",
        f"model      {config.model.path}{_size(shapes)}, {config.model.dtype}",
        f"data       {config.data.path} [{config.data.split}]; held out: "
        + (
            f"{config.data.eval_path} [{config.data.eval_split}]"
            if config.data.eval_path
            else "none"
        ),
        f"steps      {config.num_steps} of {config.prompts_per_step} prompts x "
        f"{config.algorithm.group_size} completions = {completions}, in "
        f"{config.algorithm.num_minibatches} minibatch(es)",
        f"tokens     at most {tokens_per_step(config):,} response tokens a step "
        f"({config.limit.max_response_tokens:,} each; prompts of at most "
        f"{config.rollout.max_prompt_tokens:,})",
        f"placement  {placement_of(config, machine).value}: {machine.num_learners} learner "
        f"process(es), ZeRO stage {config.learner.zero_stage}; {machine.num_gpus} GPU(s), "
        f"{machine.num_cores} cores",
        f"threads    {threads} for each learner process{_engine_threads(config, machine)}",
    ]


def _rows(config: RunConfig, machine: Machine, shapes: Shapes) -> list[Row]:
    algorithm = config.algorithm
    memory = learner_memory(
        shapes,
        config.learner,
        machine.num_learners,
        with_reference=algorithm.needs_reference,
        with_critic=isinstance(algorithm, ActorCriticConfig)
        and algorithm.critic.backbone is Backbone.separate,
    )
    placement = placement_of(config, machine)
    kind = "cpu" if placement is Placement.cpu and not machine.num_gpus else "gpu"
    host = host_bytes(memory, config.learner.offload) if kind == "gpu" else 0.0
    moved = f"; {_amount(host)} of these in the host's memory, left out of the sum" if host else ""
    rows = [
        (
            _device(kind, rank),
            f"learner rank {rank}",
            _amount(memory.total - host),
            _parts(memory) + moved,
        )
        for rank in range(machine.num_local_learners)
    ]
    return rows + _engine_rows(config, machine, shapes)


def _engine_rows(config: RunConfig, machine: Machine, shapes: Shapes) -> list[Row]:
    weights = engine_weight_bytes(shapes)
    if not isinstance(config.rollout, VllmConfig):
        device = _device("gpu" if machine.num_gpus else "cpu", 0)
        parts = f"weights {_amount(weights)}, key-value cache as it is needed"
        return [(device, "engine, in learner rank 0", _amount(weights), parts)]
    if placement_of(config, machine) is Placement.remote:
        return [(url, "engine, served", "its own", "") for url in config.rollout.urls]
    if placement_of(config, machine) is Placement.cpu:
        cache = config.rollout.kv_cache_gib * GIB
        parts = f"weights {_amount(weights)}, key-value cache {_amount(cache)}"
        return [("cpu", "engine", _amount(weights + cache), parts)] * config.rollout.replicas
    share = f"{config.rollout.gpu_memory_utilization:.0%} of the GPU"
    parts = f"weights {_amount(weights)}, key-value cache the rest"
    sleeping = (
        ", asleep while learning" if placement_of(config, machine) is Placement.shared else ""
    )
    return [
        (_device("gpu", index), f"engine{sleeping}", share, parts)
        for index in engine_devices(config, machine)
    ]


def _notes(config: RunConfig, shapes: Shapes) -> list[str]:
    assert isinstance(config.rollout, VllmConfig | TransformersConfig), "there is no other engine"
    longest = config.rollout.max_prompt_tokens + config.limit.max_response_tokens
    per_token = shapes.kv_bytes_per_token
    needed = config.rollout.max_num_seqs * longest * per_token
    drafter = draft_model_path(config)
    return [
        *([f"draft model {drafter}: what it takes is not counted above"] if drafter else []),
        f"key-value cache: {per_token:,} bytes a token; {config.rollout.max_num_seqs} sequences of "
        f"{longest:,} tokens at once would need {_amount(needed)}",
        f"activations: estimated for {config.learner.max_tokens_per_microbatch:,} tokens a forward "
        "pass; logits exist for "
        f"{config.learner.logprob_chunk_tokens:,} positions at a time",
        *_cut(config.learner),
    ]


def _cut(learner: LearnerConfig) -> list[str]:
    size = learner.sequence_parallel
    if size == 1:
        return []
    return [
        f"sequences: cut over {size} learner processes, which pass up to "
        f"{size * learner.max_tokens_per_microbatch:,} tokens forward together"
    ]


def _parts(memory: LearnerMemory) -> str:
    parts = {
        "parameters": memory.parameters,
        "gradients": memory.gradients,
        "optimizer": memory.optimizer,
        "buckets": memory.buckets,
        "reference": memory.reference,
        "critic": memory.critic,
        "activations": memory.activations,
        "logits": memory.logits,
    }
    return ", ".join(f"{name} {_amount(size)}" for name, size in parts.items() if size)


def _engine_threads(config: RunConfig, machine: Machine) -> str:
    if placement_of(config, machine) is not Placement.cpu:
        return ""
    if not isinstance(config.rollout, VllmConfig):
        return ", the same for the engine"
    threads = config.rollout.num_threads or max(1, machine.num_cores - 1)
    if config.rollout.replicas == 1:
        return f", {threads} for the engine"
    return f", {max(1, threads // config.rollout.replicas)} for each engine"


def _size(shapes: Shapes | None) -> str:
    return f" ({shapes.num_parameters / 1e6:,.1f}M parameters)" if shapes else ""


def _device(kind: str, index: int) -> str:
    return kind if kind == "cpu" else f"{kind}:{index}"


def _amount(size: float) -> str:
    return f"{size / GIB:.1f} GiB" if size >= GIB else f"{size / MIB:.1f} MiB"


def _table(rows: list[Row]) -> list[str]:
    widths = [max(len(row[column]) for row in rows) for column in range(3)]
    return [
        "  ".join([*(row[i].ljust(widths[i]) for i in range(3)), row[3]]).rstrip() for row in rows
    ]
