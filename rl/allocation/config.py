"""Options of the `allocation` group; imports nothing heavy."""

from dataclasses import dataclass

from data.bounds import too_small
from rl.config import AllocationConfig


@dataclass(kw_only=True)
class PilotConfig(AllocationConfig):
    """Base of the allocations that learn from a prompt's last update (`rl.allocation.pilots`)."""

    refresh_steps: int = 10
    """Steps after which a pilot is old: the policy has changed (GVM's code: about every 10)."""

    def problems(self) -> list[str]:
        return too_small("allocation", self, refresh_steps=1)


@dataclass(kw_only=True)
class GvmConfig(PilotConfig):
    """`allocation: gvm`."""

    smoothing: float = 1e-3
    """Keeps prompts that are almost never solved from taking everything (the code's alpha)."""
    power: float = 2.0
    """How fast those prompts lose their groups (the code's beta)."""

    def problems(self) -> list[str]:
        found = []
        if self.smoothing < 0 or self.power < 1:
            found.append(
                f"allocation.smoothing={self.smoothing}, allocation.power={self.power}: set 0 or "
                "more, and 1 or more"
            )
        return found + super().problems()


@dataclass(kw_only=True)
class VarianceConfig(PilotConfig):
    """`allocation: variance`."""

    most_groups: int = 4
    """Groups of one prompt in an update, at most."""

    def problems(self) -> list[str]:
        return super().problems() + too_small("allocation", self, most_groups=1)
