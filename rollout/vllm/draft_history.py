"""The driver's side of `rollout.speculation=history`: starts it, measures it, saves what it knows.

Every engine keeps a history of its own, because drafts are made where tokens are sampled. Calls
reach all engines of a front end; of several, vLLM hands back what the first one answered.
"""

from dataclasses import asdict
from typing import Any

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.vllm.engine import VllmEngine


def start_history(engine: VllmEngine, config: HistoryConfig) -> None:
    """Lets the workers draft from history; blocks."""
    engine.loop.run(engine.call("laconic_start_history", settings=asdict(config)))
    engine.loop.run(engine.call("laconic_new_weights", version=engine.weight_version))


def history_state(engine: VllmEngine) -> dict[str, Any]:
    """The history of the first engine; JSON and msgpack can hold it. Blocks."""
    states: list[dict[str, Any]] = engine.loop.run(engine.call("laconic_history_state"))
    return states[0]


def load_history(engine: VllmEngine, state: dict[str, Any]) -> None:
    """Adds the history of `history_state` to that of every engine; blocks."""
    engine.loop.run(engine.call("laconic_load_history", state=state))


def draft_acceptance(engine: VllmEngine) -> Acceptance:
    """What the first engine accepted since the last call; blocks."""
    return Acceptance(**engine.loop.run(engine.call("laconic_draft_acceptance"))[0])
