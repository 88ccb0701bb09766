"""GRPO-lambda's gate: only groups that are mostly right are paid for being short.

GRPO-lambda (arXiv:2505.18086) ranks the groups of a batch by pass rate and takes the best fraction;
its abstract can also be read as a fixed threshold. Each reading is a gate of its own.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from hashlib import blake2b
from math import ceil

from data.types import Group
from rewards.compose import correctness
from rewards.config import GateConfig
from rewards.protocols import Gate, Verdicts

logger = logging.getLogger(__name__)

ROUNDING = 1e-9
"""0.07 * 100 is a little more than 7 in floating point; seven groups are meant."""


@dataclass(kw_only=True)
class TopFractionConfig(GateConfig):
    """`gate: grpo_lambda`, GRPO-lambda's ranking within the batch."""

    fraction: float = 0.2
    """Share of the groups of an update whose length term counts (the paper's lambda)."""

    def problems(self) -> list[str]:
        if 0 < self.fraction <= 1:
            return []
        return [f"gate.fraction={self.fraction}: set 0 < gate.fraction <= 1"]


@dataclass(kw_only=True)
class ThresholdConfig(GateConfig):
    """`gate: grpo_lambda_threshold`, the other reading of GRPO-lambda's abstract."""

    pass_rate: float = 0.75
    """Lowest share of correct answers in a group whose length term counts."""

    def problems(self) -> list[str]:
        if 0 < self.pass_rate <= 1:
            return []
        return [f"gate.pass_rate={self.pass_rate}: set 0 < gate.pass_rate <= 1"]


def top_fraction(
    groups: Sequence[Group], verdicts: Verdicts, fraction: float, seed: int
) -> list[bool]:
    """True for the max(1, ceil(fraction * P)) groups of the highest pass rate [P].

    A group without a correct answer is never selected: it earns zeros, whatever the length term.
    Ties are frequent (many groups at 1.0). They are broken by a shuffle that is drawn from `seed`
    and the batch's prompt ids, so that the order of the batch never matters and no prompt is
    favoured in every epoch.
    """
    if len(groups) == 1:
        logger.warning("an update of one group always gets its length term: draw more prompts")
    num_selected = max(1, ceil(fraction * len(groups) - ROUNDING))
    rates = pass_rates(verdicts)
    ties = _tie_breakers(groups, seed)
    ranked = sorted(range(len(groups)), key=lambda q: (-rates[q], ties[q]))
    selected = set(ranked[:num_selected])
    return [q in selected and rates[q] > 0 for q in range(len(groups))]


def pass_rate_threshold(
    groups: Sequence[Group], verdicts: Verdicts, pass_rate: float
) -> list[bool]:
    """True for the groups with p(q) >= pass_rate [P]."""
    return [p >= pass_rate for p in pass_rates(verdicts)]


def pass_rates(verdicts: Verdicts) -> list[float]:
    """p(q) = correct answers / answers, per group [P]."""
    return [sum(correct) / len(correct) for correct in correctness(verdicts)]


def build_top_fraction(config: TopFractionConfig, seed: int) -> Gate:
    return partial(top_fraction, fraction=config.fraction, seed=seed)


def build_threshold(config: ThresholdConfig, seed: int) -> Gate:
    return partial(pass_rate_threshold, pass_rate=config.pass_rate)


def _tie_breakers(groups: Sequence[Group], seed: int) -> list[tuple[bytes, str]]:
    """A pseudo-random rank per group; a prompt drawn twice is told apart by its completions."""
    batch = blake2b(f"{seed}".encode())
    for prompt_id in sorted(group.prompt.id for group in groups):
        batch.update(f" {prompt_id}".encode())
    key = batch.digest()
    return [
        (
            blake2b(group.prompt.id.encode(), key=key, digest_size=8).digest(),
            min(c.id for c in group.completions),
        )
        for group in groups
    ]
