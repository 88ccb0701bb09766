"""Tokens of prompts: how many were asked for, and how many of these an engine had in its cache."""

from dataclasses import dataclass


@dataclass(slots=True, kw_only=True)
class PromptTokens:
    """Counts over answered requests; what a continued answer begins with is part of its prompt."""

    asked: int = 0
    cached: int = 0
    """Those whose keys and values were still there."""

    @property
    def cached_share(self) -> float:
        return self.cached / max(1, self.asked)

    def add(self, other: "PromptTokens") -> None:
        """Counts in what `other` has counted."""
        self.asked += other.asked
        self.cached += other.cached
