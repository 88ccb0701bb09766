"""Options of the `allocation` group; imports nothing heavy."""

from dataclasses import dataclass

from rl.config import AllocationConfig


@dataclass(kw_only=True)
class GvmConfig(AllocationConfig):
    """`allocation: gvm`."""

    smoothing: float = 1e-3
    """Keeps prompts that are almost never solved from taking everything (the code's alpha)."""
    power: float = 2.0
    """How fast those prompts lose their groups (the code's beta)."""
    refresh_steps: int = 10
    """Steps after which a pilot is old: the policy has changed (the code: about every 10)."""

    def problems(self) -> list[str]:
        found = []
        if self.smoothing < 0 or self.power < 1:
            found.append(
                f"allocation.smoothing={self.smoothing}, allocation.power={self.power}: set 0 or "
                "more, and 1 or more"
            )
        if self.refresh_steps < 1:
            found.append(f"allocation.refresh_steps={self.refresh_steps}: set it to 1 or more")
        return found
