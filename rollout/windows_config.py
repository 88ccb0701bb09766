"""Options of cut rollouts and of their order; imports nothing heavy."""

from dataclasses import dataclass
from enum import Enum


class Order(Enum):
    """Which waiting requests the engine takes first."""

    arrival = "arrival"
    longest_first = "longest_first"
    shortest_first = "shortest_first"


class Cut(Enum):
    """When a step ends before all of its completions have."""

    none = "none"
    partial = "partial"
    """APRIL: as soon as enough groups are done; the rest goes on in the next step."""
    tail_rounds = "tail_rounds"
    """RollPacker: likewise, but the rest is thrown away and has a long round of its own."""


@dataclass(kw_only=True)
class WindowsConfig:
    """T-PPO's windows: a long completion is sampled over several steps."""

    window_tokens: int = 0
    """Tokens of one completion in one step (W); 0 samples every completion in one go."""

    def problems(self) -> list[str]:
        if self.window_tokens >= 0:
            return []
        return [f"rollout.windows.window_tokens={self.window_tokens}: set it to 0 or more"]

    def problems_with(self, max_response_tokens: int) -> list[str]:
        """A window that no response can outgrow is a setting without effect."""
        if self.window_tokens < max_response_tokens:
            return []
        return [
            f"rollout.windows.window_tokens={self.window_tokens} with limit.max_response_tokens="
            f"{max_response_tokens}: every response ends in its first window; set a smaller "
            "window, or 0 for none"
        ]


@dataclass(kw_only=True)
class SchedulingConfig:
    """In which order completions are sampled, and whether a step waits for the last."""

    order: Order = Order.arrival
    cut: Cut = Cut.none
    group_factor: float = 1.25
    """Groups that run over groups that a step takes, where it is cut (N'/N, eta)."""
    sample_factor: float = 1.0
    """Samples that run over samples that a group takes, in short rounds of `tail_rounds`; above 1
    the kept ones are the short ones."""

    def problems(self) -> list[str]:
        found = [
            f"rollout.scheduling.{name}={value}: set it to 1 or more"
            for name, value in (
                ("group_factor", self.group_factor),
                ("sample_factor", self.sample_factor),
            )
            if not value >= 1
        ]
        if self.sample_factor != 1 and self.cut is not Cut.tail_rounds:
            found.append(
                f"rollout.scheduling.sample_factor={self.sample_factor} without rounds that are "
                "cut: set rollout.scheduling.cut=tail_rounds, or sample_factor=1"
            )
        return found
