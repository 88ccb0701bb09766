"""Starts vLLM: from `VllmConfig` to a running, guarded `VllmEngine`."""

import atexit
import logging
import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch

from rollout.background import BackgroundLoop
from rollout.config import Placement, Speculation, VllmConfig
from rollout.engine import EngineError
from rollout.vllm.engine import VllmEngine
from rollout.vllm.environment import cpu_variables, engine_environment
from rollout.vllm.guards import check_plugin
from rollout.vllm.placement import engine_gpus, resolved
from rollout.vllm.plugin import SHARED_MEMORY_BACKEND
from rollout.vllm.processes import EngineProcesses, LastLines, killed_after, with_last_lines
from rollout.vllm.settings import LOGPROBS_MODE
from rollout.vllm.speculation import start_speculation

if TYPE_CHECKING:
    from vllm.v1.engine.async_llm import AsyncLLM

BACKENDS = {
    Placement.cpu: SHARED_MEMORY_BACKEND,
    Placement.separate: "nccl",
    Placement.shared: "ipc",
}
"""The weight-transfer backend of the workers, by placement."""

CPU_BLOCK_TOKENS = 32
"""The smallest key-value block of the CPU build: a shorter common prefix is never shared."""

HISTORY_PROPOSER = "rollout.vllm.history_proposer.HistoryProposer"
"""Our drafter, as vLLM's workers import it."""

WHOLE_STEP_EXECUTOR = "rollout.vllm.executor.WholeStepExecutor"
"""Of workers in processes of their own, as the CPU's always are, as vLLM imports it."""

GIB = 2**30

NO_ROOM = "configuration/conserving_memory"
"""The page that vLLM points to when its key-value cache cannot hold one sequence."""


def start_engine(
    config: VllmConfig,
    *,
    loop: BackgroundLoop,
    model_path: str,
    dtype: str,
    max_model_tokens: int,
    weight_version: int = 0,
    seed: int = 0,
) -> VllmEngine:
    """Starts vLLM's processes and waits until they serve `model_path` on `loop`.

    `max_model_tokens` is the longest prompt plus the longest response. Raises `EngineError` when
    vLLM does not start within `config.start_seconds`, when our plugin would not work in it, or when
    speculation would be wrong.
    """
    num_learners = int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    placement, devices = engine_placement(config, num_learners, torch.cuda.device_count())
    arguments = engine_arguments(config, placement, max_model_tokens, len(devices))
    arguments |= {"model": model_path, "dtype": dtype, "seed": seed}
    output = LastLines()
    with engine_environment(engine_variables(config, placement, devices)), output.inherited():
        llm, name = _start(arguments, config.start_seconds, output)
    engine = VllmEngine(
        llm,
        loop,
        name=name,
        max_model_tokens=max_model_tokens,
        weight_version=weight_version,
        placement=placement,
        devices=devices,
        processes=EngineProcesses(_processes(llm), output),
        keeps_cache=config.keep_cache_on_sync,
    )
    # Errors kept by vLLM's imports keep this frame alive: `engine` alone may hold vLLM.
    del llm
    atexit.register(engine.shutdown)
    loop.run(_label(engine.llm, weight_version))
    try:
        loop.run(start_speculation(config, engine.call))
        loop.run(engine.call("laconic_new_weights", version=weight_version))
    except EngineError:
        engine.shutdown()
        raise
    return engine


def engine_placement(
    config: VllmConfig, num_learners: int, num_gpus: int
) -> tuple[Placement, list[int]]:
    """The placement, `auto` resolved, and the GPUs of the engine.

    Raises ValueError for a placement that is not possible here.
    """
    placement = resolved(config.placement, num_learners, num_gpus)
    assert placement is not Placement.remote, "somebody else starts those (rollout.vllm.replicas)"
    left = num_gpus - num_learners
    if placement is Placement.separate and not 0 < (config.devices or left) <= left:
        raise ValueError(
            f"rollout.placement=separate, rollout.devices={config.devices}: {num_gpus} GPUs "
            f"minus {num_learners} learners leave {max(left, 0)}; start fewer learners, set "
            "rollout.devices lower or rollout.placement=shared"
        )
    if placement is Placement.shared and left < 0:
        raise ValueError(
            f"rollout.placement=shared: {num_learners} learners on {num_gpus} GPUs; "
            "start one learner per GPU"
        )
    return placement, engine_gpus(placement, config.devices, num_learners, num_gpus)


def engine_arguments(
    config: VllmConfig, placement: Placement, max_model_tokens: int, num_devices: int
) -> dict[str, Any]:
    """Keyword arguments of vLLM's `AsyncEngineArgs`, all but the model's.

    Raises ValueError when `rollout.engine_args` sets one that belongs to another option.
    """
    drafts = speculation_arguments(config)
    arguments: dict[str, Any] = {
        "max_model_len": max_model_tokens + (config.num_speculative_tokens + 1 if drafts else 0),
        "max_num_seqs": config.max_num_seqs,
        "enforce_eager": config.enforce_eager,
        "enable_prefix_caching": True,
        "scheduling_policy": "priority",
        "logprobs_mode": LOGPROBS_MODE,
        "worker_extension_cls": "rollout.vllm.worker.WorkerExtension",
        "weight_transfer_config": {"backend": BACKENDS[placement]},
        "disable_log_stats": True,
        "use_tqdm_on_load": False,
        **({"speculative_config": drafts} if drafts else {}),
    }
    if config.speculation is Speculation.draft_model:
        arguments["per_request_spec_decode_metrics"] = "detailed"
    if placement is Placement.cpu:
        arguments |= {
            "enforce_eager": True,
            "block_size": CPU_BLOCK_TOKENS,
            "kv_cache_memory_bytes": int(config.kv_cache_gib * GIB),
            # A seeded request whose prefill is cut in two stops the CPU build ("CPU Generator does
            # not use offset", vLLM 0.32.0): it cannot take back the draw that it discards.
            "enable_chunked_prefill": False,
            "distributed_executor_backend": WHOLE_STEP_EXECUTOR,
        }
    else:
        arguments |= {
            "gpu_memory_utilization": config.gpu_memory_utilization,
            "data_parallel_size": max(1, num_devices),
            "enable_sleep_mode": placement is Placement.shared,
        }
    taken = sorted(set(arguments) & set(config.engine_args))
    if taken:
        raise ValueError(
            f"rollout.engine_args sets {', '.join(taken)}, which other options of rollout decide; "
            "remove them there"
        )
    return arguments | dict(config.engine_args)


def speculation_arguments(config: VllmConfig) -> dict[str, Any]:
    """vLLM's `speculative_config`; empty without speculation."""
    if config.speculation is Speculation.none:
        return {}
    method = {"method": config.speculation.value}
    if config.speculation is Speculation.history:
        method = {"method": "custom_class", "model": HISTORY_PROPOSER}
    if config.speculation is Speculation.draft_model:
        method |= {
            "model": config.draft_model.path,
            "revision": config.draft_model.revision,
            # Drafts are drawn and their probabilities kept: a draft of q is accepted by min(1, p/q)
            # where vLLM's default, the likeliest token, would be by p.
            "draft_sample_method": "probabilistic",
        }
    return {**method, "num_speculative_tokens": config.num_speculative_tokens}


def engine_variables(
    config: VllmConfig, placement: Placement, devices: Sequence[int]
) -> dict[str, str]:
    """Environment of vLLM's processes, on top of the defaults of `engine_environment`."""
    if placement is Placement.cpu:
        return cpu_variables(config.num_threads)
    variables = {"CUDA_VISIBLE_DEVICES": ",".join(map(str, devices))} if devices else {}
    if config.num_threads:
        variables["OMP_NUM_THREADS"] = str(config.num_threads)
    if placement is Placement.shared:
        # vLLM's IPC backend receives its memory handles pickled, and only with this switch.
        variables["VLLM_ALLOW_INSECURE_SERIALIZATION"] = "1"
    return variables


def _start(arguments: dict[str, Any], seconds: float, output: LastLines) -> tuple["AsyncLLM", str]:
    """Runs on the caller's thread, so that answers are judged while another engine starts.

    Holds no engine in a local: errors kept by vLLM's imports keep this frame alive.
    """
    import vllm

    check_plugin(vllm.__version__)
    # It would print a traceback for every engine that died; `EngineLost` says what happened.
    # vLLM resets the levels of its loggers, their filters stay.
    logging.getLogger("vllm.v1.engine.async_llm").addFilter(_nothing)
    began = time.monotonic()
    with killed_after(seconds) as expired:
        try:
            return _create(arguments), f"vllm {vllm.__version__}"
        except Exception as error:
            waited = time.monotonic() - began
            if expired.is_set():
                why = "not ready within rollout.start_seconds"
            elif any(NO_ROOM in line for line in output.last()):
                why = f"no room for the key-value cache; raise {_cache_setting(arguments)}"
            else:
                why = str(error)
            raise EngineError(
                with_last_lines(
                    f"vllm {vllm.__version__} did not start, after {waited:.1f} s: {why}", output
                )
            ) from error


def _nothing(record: logging.LogRecord) -> bool:
    """A filter that lets no record pass."""
    return False


def _cache_setting(arguments: dict[str, Any]) -> str:
    """The setting that gives the engine of `arguments` its key-value cache."""
    on_cpu = "kv_cache_memory_bytes" in arguments
    return f"rollout.{'kv_cache_gib' if on_cpu else 'gpu_memory_utilization'}"


def _create(arguments: dict[str, Any]) -> "AsyncLLM":
    from vllm.engine.arg_utils import AsyncEngineArgs
    from vllm.v1.engine.async_llm import AsyncLLM

    return AsyncLLM.from_engine_args(AsyncEngineArgs(**arguments))


def _processes(llm: "AsyncLLM") -> list[Any]:
    resources: Any = llm.engine_core.resources
    coordinator = [resources.coordinator.proc] if resources.coordinator else []
    return [*resources.engine_manager.processes, *coordinator]


async def _label(llm: "AsyncLLM", weight_version: int) -> None:
    await llm.update_weight_version(str(weight_version))
