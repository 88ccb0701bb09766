"""Limits that move between two bounds: what their options share."""

from dataclasses import dataclass

from rl.config import LimitConfig


@dataclass(kw_only=True)
class BoundedLimitConfig(LimitConfig):
    """A limit between `shortest_tokens` and `longest_tokens`."""

    longest_tokens: int = 0
    """Upper bound (the papers' L_max); 0 is `max_response_tokens`. A smaller one is for training
    alone: held-out problems are always answered in up to `max_response_tokens`."""
    shortest_tokens: int = 1
    """Lower bound (the papers' L_min)."""

    @property
    def longest(self) -> int:
        return self.longest_tokens or self.max_response_tokens

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.longest_tokens <= self.max_response_tokens:
            found.append(
                f"limit.longest_tokens={self.longest_tokens} with limit.max_response_tokens="
                f"{self.max_response_tokens}: the run has no room for more; set 0 (the same) up to "
                "limit.max_response_tokens"
            )
        elif not 1 <= self.shortest_tokens <= self.longest:
            found.append(
                f"limit.shortest_tokens={self.shortest_tokens}: set 1 up to the upper bound, which "
                f"is {self.longest}"
            )
        return found
