"""The driver's side of `rollout.speculation=history`: starts it, measures it, saves what it knows.

Every worker keeps a history of its own, because drafts are made where tokens are sampled.
"""

from collections.abc import Sequence
from dataclasses import asdict
from typing import Any

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.vllm.engine import VllmEngine


def start_history(engine: VllmEngine, config: HistoryConfig) -> None:
    """Lets the workers draft from history; blocks."""
    engine.loop.run(engine.call("laconic_start_history", settings=asdict(config)))
    engine.loop.run(engine.call("laconic_new_weights", version=engine.weight_version))


def history_state(engine: VllmEngine) -> list[dict[str, Any]]:
    """The history of every worker; JSON and msgpack can hold it. Blocks."""
    return engine.loop.run(engine.call("laconic_history_state"))


def load_history(engine: VllmEngine, states: Sequence[dict[str, Any]]) -> None:
    """Gives every worker the histories of `history_state`, all of them; blocks."""
    for state in states:
        engine.loop.run(engine.call("laconic_load_history", state=state))


def draft_acceptance(engine: VllmEngine) -> list[Acceptance]:
    """What every worker accepted since the last call; blocks."""
    found = engine.loop.run(engine.call("laconic_draft_acceptance"))
    return [Acceptance(**counts) for counts in found]
