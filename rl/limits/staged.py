"""Staged caps: one limit for every prompt, which changes at given steps.

ThinkPrune (arXiv:2504.01296) tightens it round by round (4k, 3k, 2k); DeepScaleR widens it (8k,
16k, 24k). A response that does not end within the cap is worth nothing; no further length term.
"""

from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import partial

from rl.config import LimitConfig
from rl.limits.limit import Limit
from rl.limits.schedule import ScheduledLimit


@dataclass(kw_only=True)
class StagedConfig(LimitConfig):
    """`limit: staged`: stage i allows `tokens[i]` from step `starts[i]` on."""

    tokens: list[int] = field(default_factory=list)
    """The limit of each stage."""
    starts: list[int] = field(default_factory=list)
    """The first step of each stage; a run begins with step 0."""

    def problems(self) -> list[str]:
        given = f"limit.tokens={self.tokens}, limit.starts={self.starts}"
        found = super().problems()
        if not self.tokens or len(self.tokens) != len(self.starts):
            return [*found, f"{given}: set as many limits as first steps, at least one of each"]
        if self.starts[0] != 0 or any(
            later <= start for start, later in zip(self.starts, self.starts[1:], strict=False)
        ):
            found.append(f"{given}: set limit.starts to steps that rise from 0")
        if min(self.tokens) < 1 or max(self.tokens) > self.max_response_tokens:
            found.append(
                f"{given} with limit.max_response_tokens={self.max_response_tokens}: set "
                "limit.tokens to 1 up to limit.max_response_tokens, for which the run has room"
            )
        return found


def staged_cap(step: int, tokens: Sequence[int], starts: Sequence[int]) -> int:
    """The cap of the last stage that has begun: tokens[max i with starts[i] <= t]."""
    return tokens[bisect_right(starts, step) - 1]


def build_limit(config: StagedConfig) -> Limit:
    return ScheduledLimit(partial(staged_cap, tokens=config.tokens, starts=config.starts))
