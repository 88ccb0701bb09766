"""GVM: more groups where samples lower the variance of the gradient most.

GVM-RAFT (arXiv:2505.02391). The released code runs a pilot over 1,024 prompts, stops, and trains on
what it allocated. Here the pilot is the last group of a prompt that was trained on: a prompt
without one, or whose one is old, is given a single group, which is its pilot.
"""

from collections.abc import Sequence
from statistics import fmean

from data.memory import Record
from data.types import Group, Verdict
from rl.allocation.allocation import Allocation, GradientNorms
from rl.allocation.config import GvmConfig
from rl.allocation.pilots import PASS_RATE, Pilots, pass_rate, pass_rates
from rl.learner.batch import row_of
from rollout.rounding import largest_remainder

GRADIENT_NORM = "gvm_gradient_norm"
"""The name of G_i in a prompt's record."""


def gvm_weight(pass_rate: float, gradient_norm: float, smoothing: float, power: float) -> float:
    """w = G / sqrt(p + a / p^(b-1)), and 0 for a prompt that was never solved.

    GVM (arXiv:2505.02391), em/stage_2_calc_sample_size.py. It rises as the pass rate p falls, down
    to p = sqrt(a) for b = 2, and vanishes below. G is the mean gradient norm of right answers.
    """
    if pass_rate == 0:
        return 0.0
    variance = pass_rate + smoothing / pass_rate ** (power - 1)
    return float(gradient_norm / variance**0.5)


def gvm_counts(weights: Sequence[float], total: int) -> list[int]:
    """n_i = N w_i / sum w in whole numbers whose sum is N (`total`); all alike without a weight."""
    if not any(weights):
        weights = [1.0] * len(weights)
    whole = sum(weights)
    return largest_remainder([total * (weight / whole) for weight in weights])


def measured(
    groups: Sequence[Group],
    verdicts: Sequence[Sequence[Verdict]],
    step: int,
    learner: GradientNorms,
) -> dict[str, Record]:
    """p_i and G_i of every prompt of an update, by one forward pass over its right answers."""
    rows = [
        row_of(group, completion, 0.0, number, step)
        for number, (group, judged) in enumerate(zip(groups, verdicts, strict=True))
        for completion, verdict in zip(group.completions, judged, strict=True)
        if verdict.correct
    ]
    norms: dict[str, list[float]] = {group.prompt.id: [] for group in groups}
    for row, norm in zip(rows, learner.gradient_norms(rows), strict=True):
        norms[groups[row.group].prompt.id].append(norm)
    return {
        prompt_id: {PASS_RATE: rate, GRADIENT_NORM: fmean(norms[prompt_id] or [0.0])}
        for prompt_id, rate in pass_rates(groups, verdicts).items()
    }


def build_gvm(config: GvmConfig) -> Allocation:
    """Groups in proportion to the weights of GVM."""

    def weight(record: Record) -> float:
        norm = record[GRADIENT_NORM]
        assert isinstance(norm, float)
        return gvm_weight(pass_rate(record), norm, config.smoothing, config.power)

    def counts(records: Sequence[Record]) -> list[int]:
        return gvm_counts([weight(record) for record in records], len(records))

    return Pilots(config.refresh_steps, measured, counts)
