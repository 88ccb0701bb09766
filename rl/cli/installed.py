"""Is the engine installed? Asked before anything heavy starts."""

from importlib.util import find_spec

from rollout.config import ReplayConfig, RolloutConfig, VllmConfig


def engine_problem(rollout: RolloutConfig) -> str | None:
    """Why the chosen engine cannot run here, or None; there is never another in its place."""
    if not isinstance(rollout, VllmConfig) or find_spec("vllm") is not None:
        return None
    replays = isinstance(rollout, ReplayConfig)
    chosen, other = ("replay", "replay_transformers") if replays else ("vllm", "transformers")
    return (
        f"rollout={chosen}: vllm is not installed here; set rollout={other} (an engine in this "
        "process, for small models), or install vllm (`make setup` names the stacks)"
    )
