"""Is the engine installed? Asked before anything heavy starts."""

from importlib.util import find_spec

from rollout.config import RolloutConfig, VllmConfig


def engine_problem(rollout: RolloutConfig) -> str | None:
    """Why the chosen engine cannot run here, or None; there is never another in its place."""
    if not isinstance(rollout, VllmConfig) or find_spec("vllm") is not None:
        return None
    return (
        "rollout=vllm: vllm is not installed here; set rollout=transformers (an engine in this "
        "process, for small models), or install vllm (`make setup` names the stacks)"
    )
