"""Refuses to start where our plugin would not work, before anything relies on it.

vLLM only logs a plugin that it could not load, and `VLLM_PLUGINS` can exclude one; a run would then
sample from a wrong distribution without a word. `check_plugin` looks before the start, and
`check_speculation` asks the workers themselves afterwards.
"""

import os
from importlib.metadata import entry_points

from rollout.engine import EngineError
from rollout.vllm import plugin

GROUP = "vllm.general_plugins"


def check_plugin(vllm_version: str) -> None:
    """Raises `EngineError` naming why vLLM's processes would run without our plugin."""
    if not plugin.is_supported(vllm_version):
        raise EngineError(
            f"vllm {vllm_version} is installed; weight sync and speculation are written for "
            f"vllm {', '.join(plugin.SUPPORTED_VERSIONS)}: install that version"
        )
    allowed = os.environ.get("VLLM_PLUGINS")
    if allowed is not None and plugin.PLUGIN_NAME not in allowed.split(","):
        raise EngineError(
            f"VLLM_PLUGINS={allowed} excludes the plugin {plugin.PLUGIN_NAME}, without which "
            f"weight sync and speculation are wrong: unset VLLM_PLUGINS or add {plugin.PLUGIN_NAME}"
        )
    ours = [point for point in entry_points(group=GROUP) if point.name == plugin.PLUGIN_NAME]
    if not ours:
        raise EngineError(
            f"no entry point {plugin.PLUGIN_NAME} in {GROUP}: install the project "
            "(make setup, or pip install -e . --no-deps)"
        )
    try:
        ours[0].load()()
    except Exception as error:
        raise EngineError(
            f"the vLLM plugin {ours[0].value} raised {type(error).__name__}: {error}"
        ) from error


def check_speculation(problems: list[str]) -> None:
    """Raises `EngineError` when a worker found that it would verify drafts wrongly."""
    for problem in problems:
        if problem:
            raise EngineError(
                f"speculative decoding would sample from a wrong distribution: {problem}; "
                "set rollout.speculation=none or restore the plugin laconic"
            )
