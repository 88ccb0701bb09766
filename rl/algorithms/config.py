"""Options of the `correction` group; imports nothing heavy."""

from dataclasses import dataclass


@dataclass(kw_only=True)
class CorrectionConfig:
    """Base of the `correction` group, and `none`: tokens are not weighed by how they were sampled.

    What corrects for engines that differ from the learner and for weights that have changed since.
    """

    def problems(self) -> list[str]:
        return []


@dataclass(kw_only=True)
class TruncatedConfig(CorrectionConfig):
    """Truncated importance sampling, token by token."""

    cap: float = 2.0
    """Largest weight of a token."""

    def problems(self) -> list[str]:
        return [] if self.cap >= 1 else [f"correction.cap={self.cap}: set it to 1 or more"]
