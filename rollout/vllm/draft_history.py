"""The driver's side of `rollout.speculation=history`: starts it and measures it.

Every engine keeps a history of its own, because drafts are made where tokens are sampled. Calls
reach all engines of a front end; of several, vLLM hands back what the first one answered.
"""

from dataclasses import asdict

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.vllm.engine import VllmEngine


def start_history(engine: VllmEngine, config: HistoryConfig) -> None:
    """Lets the workers draft from history; blocks."""
    engine.loop.run(engine.call("laconic_start_history", settings=asdict(config)))
    engine.loop.run(engine.call("laconic_new_weights", version=engine.weight_version))


def draft_acceptance(engine: VllmEngine) -> Acceptance:
    """What the first engine accepted since the last call; blocks."""
    return Acceptance(**engine.loop.run(engine.call("laconic_draft_acceptance"))[0])
