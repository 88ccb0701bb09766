"""GVM: more groups where samples lower the variance of the gradient most.

GVM-RAFT (arXiv:2505.02391). The released code runs a pilot over 1,024 prompts, stops, and trains on
what it allocated. Here the pilot is the last group of a prompt that was trained on: a prompt
without one, or whose one is old, is given a single group, which is its pilot.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Any

from data.memory import Record
from data.types import Group, Prompt, Verdict
from rl.allocation.allocation import Allocation, GradientNorms
from rl.allocation.config import GvmConfig
from rl.allocation.pilots import PASS_RATE, Pilots, groups_per_prompt, pass_rate, pass_rates
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


class Gvm:
    """Pass rates and gradient norms of prompts, each from the last update that it was part of."""

    def __init__(self, config: GvmConfig) -> None:
        self._config = config
        self._pilots = Pilots(config.refresh_steps)

    def allocate(self, prompts: Sequence[Prompt], step: int) -> list[Prompt]:
        """See `Pilots.allocate`; in proportion to the weights of GVM."""
        return self._pilots.allocate(prompts, step, self._counts)

    def observe(
        self,
        groups: Sequence[Group],
        verdicts: Sequence[Sequence[Verdict]],
        step: int,
        learner: GradientNorms,
    ) -> dict[str, float]:
        """Measures every group of the update, by one forward pass over its right answers."""
        rows = [
            row_of(group, completion, 0.0, number, step)
            for number, (group, judged) in enumerate(zip(groups, verdicts, strict=True))
            for completion, verdict in zip(group.completions, judged, strict=True)
            if verdict.correct
        ]
        norms: dict[str, list[float]] = {group.prompt.id: [] for group in groups}
        for row, norm in zip(rows, learner.gradient_norms(rows), strict=True):
            norms[groups[row.group].prompt.id].append(norm)
        for prompt_id, rate in pass_rates(groups, verdicts).items():
            of_prompt = norms[prompt_id]
            norm = fmean(of_prompt) if of_prompt else 0.0
            self._pilots.measure(prompt_id, step, {PASS_RATE: rate, GRADIENT_NORM: norm})
        return groups_per_prompt(groups)

    def state(self) -> dict[str, Any]:
        return self._pilots.state()

    def load(self, state: dict[str, Any]) -> None:
        self._pilots.load(state)

    def _counts(self, records: Sequence[Record]) -> list[int]:
        return gvm_counts([self._weight(record) for record in records], len(records))

    def _weight(self, record: Record) -> float:
        norm = record[GRADIENT_NORM]
        assert isinstance(norm, float)
        return gvm_weight(pass_rate(record), norm, self._config.smoothing, self._config.power)


def build_gvm(config: GvmConfig) -> Allocation:
    return Gvm(config)
