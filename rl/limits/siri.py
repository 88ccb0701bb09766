"""SIRI's schedules: the limit falls and rises in cycles, the same for every prompt.

SIRI (arXiv:2509.25176, section 4.3). t is the step of the run, T the steps of a cycle,
M = (L_max + L_min) / 2, H = (L_max - L_min) / 2. Limits are whole tokens.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from math import cos, pi

from rl.limits.bounds import BoundedLimitConfig
from rl.limits.limit import Limit
from rl.limits.schedule import ScheduledLimit


@dataclass(kw_only=True)
class SiriConfig(BoundedLimitConfig):
    """What SIRI's schedules share."""

    max_response_tokens: int = 16384
    shortest_tokens: int = 8192
    cycle_steps: int = 640
    """Steps of one compression with the expansion that follows it (T)."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.cycle_steps < 2:
            found.append(
                f"limit.cycle_steps={self.cycle_steps}: a cycle compresses and expands; set 2 or "
                "more"
            )
        return found


@dataclass(kw_only=True)
class SiriCosineConfig(SiriConfig):
    """`limit: siri_cosine`: down and up along a cosine."""


@dataclass(kw_only=True)
class SiriStairCosineConfig(SiriConfig):
    """`limit: siri_stair_cosine`: cosine flanks between a high and a low plateau."""


@dataclass(kw_only=True)
class SiriStairConfig(SiriConfig):
    """`limit: siri_stair`: half a cycle low, half a cycle high."""


def siri_cosine(step: int, cycle_steps: int, longest: int, shortest: int) -> int:
    """L(t) = M + H cos(2 pi t / T): a cycle begins and ends at L_max."""
    return _cosine(2 * (step % cycle_steps) / cycle_steps, longest, shortest)


def siri_stair_cosine(step: int, cycle_steps: int, longest: int, shortest: int) -> int:
    """L_max for an eighth of a cycle, down a cosine for a quarter, L_min for a quarter, mirrored.

    With phi = 2 pi (t mod T) / T: M + H cos(2 (phi - pi/4)) on [pi/4, 3pi/4), L_min up to 5pi/4,
    M + H cos(2 (phi - 3pi/4)) up to 7pi/4, else L_max. The second half of a cycle mirrors the
    first, and a flank's ends are the plateaus.
    """
    eighths = 8 * (step % cycle_steps) / cycle_steps
    from_crest = min(eighths, 8 - eighths)
    return _cosine(min(max((from_crest - 1) / 2, 0.0), 1.0), longest, shortest)


def siri_stair(step: int, cycle_steps: int, longest: int, shortest: int) -> int:
    """L_min in the first half of a cycle (compression), L_max in the second (expansion)."""
    return shortest if 2 * (step % cycle_steps) < cycle_steps else longest


def build_cosine(config: SiriCosineConfig) -> Limit:
    return _scheduled(siri_cosine, config)


def build_stair_cosine(config: SiriStairCosineConfig) -> Limit:
    return _scheduled(siri_stair_cosine, config)


def build_stair(config: SiriStairConfig) -> Limit:
    return _scheduled(siri_stair, config)


def _cosine(half_turns: float, longest: int, shortest: int) -> int:
    """M + H cos(pi half_turns): L_max at 0, L_min at 1."""
    middle, half = (longest + shortest) / 2, (longest - shortest) / 2
    return round(middle + half * cos(pi * half_turns))


def _scheduled(formula: Callable[..., int], config: SiriConfig) -> Limit:
    bounds = {"longest": config.longest, "shortest": config.shortest_tokens}
    return ScheduledLimit(partial(formula, cycle_steps=config.cycle_steps, **bounds))
