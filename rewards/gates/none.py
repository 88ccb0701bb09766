"""No gate: the length term counts in every group."""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group
from rewards.config import GateConfig
from rewards.protocols import Gate, Verdicts


@dataclass(kw_only=True)
class NoGateConfig(GateConfig):
    """`gate: none`."""


def every_group(groups: Sequence[Group], verdicts: Verdicts) -> list[bool]:
    """True for every group [P]."""
    return [True] * len(groups)


def build_gate(config: NoGateConfig, seed: int) -> Gate:
    return every_group
