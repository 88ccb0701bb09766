"""The environment that vLLM's processes start in.

torchrun's variables would make vLLM join the learner's process group, and vLLM writes variables of
its own into its parent; so the parent's environment is put back once the engine runs.
"""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

PLUGIN_VARIABLE = "LACONIC_VLLM_PLUGIN"
"""The launcher's process id, set only here: our vLLM plugin does nothing without it."""

_TORCHRUN_PREFIXES = ("TORCHELASTIC_", "GROUP_", "ROLE_")
_REMOVED = (
    "RANK",
    "LOCAL_RANK",
    "WORLD_SIZE",
    "LOCAL_WORLD_SIZE",
    "MASTER_ADDR",
    "MASTER_PORT",
    "OMP_NUM_THREADS",
    "VLLM_CPU_KVCACHE_SPACE",
)


def quiet_defaults() -> dict[str, str]:
    """What vLLM's processes print and report, unless the user chose otherwise.

    vLLM's warnings at start are about its build (Triton, tcmalloc); none is a user's to act on.
    """
    defaults = {
        "VLLM_LOGGING_LEVEL": "ERROR",
        "VLLM_NO_USAGE_STATS": "1",
        "PYTHONWARNINGS": "ignore",
        "TORCH_CPP_LOG_LEVEL": "ERROR",
    }
    return {name: os.environ.get(name, value) for name, value in defaults.items()}


def num_engine_threads(num_threads: int) -> int:
    """Threads of a CPU engine: as configured, or all cores but the one left to the learner."""
    return num_threads or max(1, len(os.sched_getaffinity(0)) - 1)


def cpu_variables(num_threads: int) -> dict[str, str]:
    """Unpinned threads: vLLM's own choice would pin one core per engine, whatever else runs."""
    return {
        "OMP_NUM_THREADS": str(num_engine_threads(num_threads)),
        "VLLM_CPU_OMP_THREADS_BIND": os.environ.get("VLLM_CPU_OMP_THREADS_BIND", "nobind"),
    }


@contextmanager
def engine_environment(variables: Mapping[str, str]) -> Iterator[None]:
    """Takes torchrun's variables out, puts `variables` in, and restores everything on leaving."""
    saved = dict(os.environ)
    for name in saved:
        if name in _REMOVED or name.startswith(_TORCHRUN_PREFIXES):
            del os.environ[name]
    os.environ.update({PLUGIN_VARIABLE: str(os.getpid()), **quiet_defaults(), **variables})
    try:
        yield
    finally:
        for name in set(os.environ) - set(saved):
            del os.environ[name]
        os.environ.update(saved)
