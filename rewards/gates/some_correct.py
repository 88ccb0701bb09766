"""The guard against length noise: no length term where nobody was right.

A length term that wrong answers get too ranks an all-wrong group by length alone, and dividing by
that group's small spread makes a full-sized advantage of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from data.types import Group
from rewards.compose import correctness
from rewards.config import GateConfig
from rewards.protocols import Gate, Verdicts


@dataclass(kw_only=True)
class SomeCorrectConfig(GateConfig):
    """`gate: some_correct`, for length terms that wrong answers get too."""


def some_correct(groups: Sequence[Group], verdicts: Verdicts) -> list[bool]:
    """True for the groups with at least one correct answer [P]."""
    return [any(correct) for correct in correctness(verdicts)]


def build_gate(config: SomeCorrectConfig, seed: int) -> Gate:
    return some_correct
