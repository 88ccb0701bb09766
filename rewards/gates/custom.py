"""A gate of the user's own, named by a dotted path; it runs in a process with a deadline."""

from collections.abc import Callable, Sequence, Sized
from dataclasses import dataclass, field
from typing import Any

from data.types import Group, Verdict
from data.wire import decode, encode
from rewards.config import GateConfig
from rewards.pool import AnswerFailed, Job, WorkerPool
from rewards.process import Wait, seed_generators
from rewards.protocols import Gate, RewardError, Verdicts
from rewards.target import load_target

SHAPE = "function(groups, verdicts)"


@dataclass(kw_only=True)
class CustomGateConfig(GateConfig):
    """`gate: custom`: the user's function says whose length part counts."""

    target: str = ""
    """`module.name` of the function, or of a factory when `args` are given."""
    args: dict[str, Any] = field(default_factory=dict)
    timeout_seconds: float = 60.0
    """Longest time that the gate of one update may take; beyond it the run stops."""

    def problems(self) -> list[str]:
        found = super().problems()
        if "." not in self.target:
            found.append(
                f"gate.target={self.target!r}: a custom gate is a dotted path; "
                "set gate.target=module.name"
            )
        if self.timeout_seconds <= 0:
            found.append(
                f"gate.timeout_seconds={self.timeout_seconds}: set a positive number of seconds"
            )
        return found


def gate_job(config: CustomGateConfig) -> Job:
    """What the process is to load."""
    named = {"target": config.target, "args": config.args}
    return Job(loader="rewards.gates.custom:load", args=named)


def load(target: str, args: dict[str, Any]) -> Callable[[bytes], object]:
    """Runs in the process: what it calls with [groups, verdicts]."""
    gate = load_target("gate.target", target, args, SHAPE)

    def choices(payload: bytes) -> object:
        seed_generators(payload)
        returned = gate(*decode(payload, tuple[list[Group], list[list[Verdict]]]))
        # A list's like, of NumPy or torch say, is sent as a list.
        return list(returned) if isinstance(returned, Sized) else returned  # type: ignore[call-overload]

    return choices


def build_gate(config: CustomGateConfig, pool: WorkerPool, wait: Wait) -> Gate:
    """The gate of `config` in the one worker of `pool`, which keeps its state between updates.

    Raises `RewardError` when it takes longer than `timeout_seconds`, raises, dies, or returns
    something other than True or False for each group.
    """
    job = gate_job(config)

    def gate(groups: Sequence[Group], verdicts: Verdicts) -> list[bool]:
        try:
            value = wait(pool.ask(job, encode((groups, verdicts)), config.timeout_seconds))
        except AnswerFailed as error:
            raise RewardError(
                f"gate.target={config.target} {error}; mend it, or raise gate.timeout_seconds"
            ) from error
        if wrong := _what_is_wrong(value, len(groups)):
            raise RewardError(
                f"gate.target={config.target}: returned {wrong}; return a list with True or False "
                "for each group"
            )
        chosen: list[bool] = value
        return chosen

    return gate


def _what_is_wrong(value: object, num_groups: int) -> str:
    if not isinstance(value, list):
        return f"{value!r:.100}"
    if len(value) != num_groups:
        return f"{len(value)} values for {num_groups} groups"
    return next((f"{each!r:.100} for a group" for each in value if not isinstance(each, bool)), "")
