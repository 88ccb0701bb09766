"""Open groups in a checkpoint: their judged completions, and the requests of the others.

Flow of a resume: `WindowPool.load` -> these groups are open again -> each missing sampling is asked
for under its old id -> the windowed engine, which knows the id, goes on where it stood. A run that
forgets its unfinished groups instead favours short answers after every restart.
"""

from base64 import b64decode, b64encode
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from data.types import Completion, Prompt, Verdict
from data.wire import decode, encode
from rollout.engine import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedGroup:
    """A group that no batch has taken yet, submitted in step `step`.

    `judged` and `missing` are by slot, the place in the group; a slot in neither has left it, since
    its grader failed or its request was aborted. `deadline` is the last update that may take it.
    """

    prompt: Prompt
    step: int
    deadline: int
    judged: dict[int, tuple[Completion, Verdict]]
    missing: dict[int, Sampling]


def groups_state(groups: Iterable[SavedGroup]) -> dict[str, Any]:
    """The groups in their order; JSON can hold it."""
    return {"groups": [b64encode(encode(group)).decode() for group in groups]}


def saved_groups(state: dict[str, Any]) -> list[SavedGroup]:
    """The groups of `groups_state`; raises `msgspec.ValidationError` when it is damaged."""
    return [decode(b64decode(text), SavedGroup) for text in state["groups"]]
