"""vLLM's general plugin of ours: the shared-memory weight backend, a mended CPU kernel, no orphans.

vLLM loads it in every one of its processes through the entry point `laconic` of the group
`vllm.general_plugins`. It does nothing unless our launcher asked for it, and nothing in a vLLM
that it was not written for; `rollout.vllm.guards` finds that out before anything relies on it.
"""

import multiprocessing
import os
import threading

from rollout.vllm.environment import PLUGIN_VARIABLE

PLUGIN_NAME = "laconic"
SHARED_MEMORY_BACKEND = "laconic_shared_memory"
SUPPORTED_VERSIONS = ("0.32.0",)


def register() -> None:
    """Registers the backend and replaces the kernel; may be called many times per process."""
    launcher = os.environ.get(PLUGIN_VARIABLE)
    if launcher is None:
        return
    import vllm

    if not is_supported(vllm.__version__):
        return
    from rollout.vllm.patches import allow_partial_reload, replace_expand_kernel
    from rollout.vllm.shared_memory import register_backend

    register_backend()
    replace_expand_kernel()
    allow_partial_reload()
    end_with(int(launcher))


def end_with(launcher: int) -> None:
    """Ends a process that `launcher` started as soon as `launcher` is gone, and not before.

    vLLM's engine process outlives a parent that was killed and keeps its memory; its workers do
    end with it. A signal to the launcher's process group (torchrun sends one, a terminal too) is
    for the launcher, which stops its engine in order: the process leaves that group.
    """
    parent = multiprocessing.parent_process()
    watching = any(thread.name == PLUGIN_NAME for thread in threading.enumerate())
    if parent is None or parent.pid != launcher or watching:
        return

    os.setpgid(0, 0)

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, name=PLUGIN_NAME, daemon=True).start()


def is_supported(version: str) -> bool:
    """Whether `version`, a build's local suffix aside, is one that the plugin was written for."""
    return version.split("+")[0] in SUPPORTED_VERSIONS
