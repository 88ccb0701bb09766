"""What makes a run this run: the settings that must not change when it is resumed.

Imports nothing heavy: the command line asks it which overrides a resumed run may take.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import fields, is_dataclass
from enum import Enum
from pathlib import Path
from typing import Any

from rl.config import RunConfig
from rollout.config import VllmConfig
from rollout.vllm.environment import num_engine_threads

MAY_CHANGE = (
    "num_steps",
    "evaluation",
    "checkpoint",
    "guards",
    "log",
    "rollout.num_threads",
    "learner.num_threads",
    "verifier.workers",
    "verifier.timeout_seconds",
    "verifier.memory_gib",
    "reward.timeout_seconds",
    "gate.timeout_seconds",
)
"""Keys, or sections, that may differ from the interrupted run's."""

PLACE = ("run", "resume")
"""Where the run lies, which says nothing about what it is."""


def may_change(key: str, names: tuple[str, ...] = MAY_CHANGE) -> bool:
    """Whether `key` is one of `names` or lies in a section of that name."""
    return any(key == name or key.startswith(f"{name}.") for name in names)


def run_of(place: Path) -> Path:
    """The run's folder of `place`: itself, or the one whose checkpoint it is."""
    return place.parents[1] if place.parent.name == "checkpoints" else place


def identity(config: RunConfig) -> dict[str, Any]:
    """Every setting that a resumed run shares, by full key; an option's class under its group.

    In deterministic mode the numbers of the learner's processes and of threads, as they came out,
    belong to it: sums of floats depend on how they are split.
    """
    leaves = _leaves("", config)
    found = {key: value for key, value in leaves if not may_change(key, MAY_CHANGE + PLACE)}
    if config.deterministic:
        found["number of learner processes"] = int(os.environ.get("WORLD_SIZE", "1"))
        found["learner.num_threads"] = int(os.environ.get("OMP_NUM_THREADS", "0"))
        if isinstance(config.rollout, VllmConfig):
            found["rollout.num_threads"] = num_engine_threads(config.rollout.num_threads)
    return found


def differences(saved: Mapping[str, Any], present: Mapping[str, Any]) -> tuple[str, str]:
    """The settings that both know and that differ: as they were saved, and as they are."""
    keys = [key for key in saved if key in present and saved[key] != present[key]]
    was = ", ".join(f"{key}={saved[key]}" for key in keys)
    return was, ", ".join(f"{key}={present[key]}" for key in keys)


def _leaves(key: str, value: Any) -> Iterator[tuple[str, Any]]:
    if is_dataclass(value):
        if key:
            yield key, type(value).__name__
        for field in fields(value):
            below = f"{key}.{field.name}" if key else field.name
            yield from _leaves(below, getattr(value, field.name))
    else:
        yield key, value.value if isinstance(value, Enum) else value
