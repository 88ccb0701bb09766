"""PALU: for each prompt the shortest limit at which the policy still answers well enough.

PALU (arXiv:2510.10168) minimises L subject to R(theta, L, q) >= C, where R is the pass rate of
question q when generation ends at L tokens. No code of the authors is public: the update is that
of their poster, and which lengths S_q holds is ambiguous, so that each reading has a name.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from data.memory import PromptMemory
from data.types import Group, Prompt, Verdict
from rl.limits.bounds import BoundedLimitConfig
from rl.limits.limit import Limit

LIMIT = "palu_limit"
"""The name of the limit in a prompt's record."""

Population = Callable[[Group, Sequence[Verdict]], list[int]]
"""The lengths S_q that a quantile step is measured on."""


@dataclass(kw_only=True)
class PaluConfig(BoundedLimitConfig):
    """`limit: palu`: S_q are the lengths of the correct answers."""

    max_response_tokens: int = 16384
    """The paper's L_max is not stated; its plots begin near 16k tokens."""
    pass_rate: float = 0.8
    """Share of correct answers above which a prompt's limit falls (C); at it or below, the limit is
    the upper bound again."""
    quantile: float = 0.5
    """Share of the answers in S_q that one step may put at risk (tau)."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.pass_rate < 1:
            found.append(
                f"limit.pass_rate={self.pass_rate}: no group passes more than all of its answers; "
                "set 0 <= limit.pass_rate < 1"
            )
        if not 0 < self.quantile <= 1:
            found.append(f"limit.quantile={self.quantile}: set 0 < limit.quantile <= 1")
        return found


@dataclass(kw_only=True)
class PaluAllConfig(PaluConfig):
    """`limit: palu_all`: S_q are the lengths of all answers, as the poster writes it."""


def quantile_step(lengths: Sequence[int], tau: float) -> float:
    """alpha_tau = Quantile_1(S) - Quantile_{1 - tau}(S), by linear interpolation.

    Lengths are response tokens, at least one. Equal lengths, or a single one, give 0.
    """
    return float(max(lengths) - np.quantile(lengths, 1 - tau))


def palu_limit(
    limit: int, lengths: Sequence[int], pass_rate: float, *, target: float, tau: float, longest: int
) -> int:
    """L - alpha_tau(S) if p > C, else L_max; in whole tokens.

    The two extremes of the multiplier (PALU, arXiv:2510.10168): a constraint that holds strictly
    shortens, any other is put first. `limit` (L) is what the group was sampled under: no length
    exceeds it, so that L never falls below the quantile. `target` is C.
    """
    if pass_rate <= target:
        return longest
    return round(limit - quantile_step(lengths, tau))


def correct_lengths(group: Group, verdicts: Sequence[Verdict]) -> list[int]:
    """S_q = {n_i : c_i = 1}: a wrong answer that was cut off would pin the maximum at L."""
    return [n for n, verdict in zip(group.lengths, verdicts, strict=True) if verdict.correct]


def all_lengths(group: Group, verdicts: Sequence[Verdict]) -> list[int]:
    """S_q = {n_i : i = 1..G}."""
    return group.lengths


class PaluLimit:
    """A limit per prompt, updated whenever a group of the prompt was trained on.

    The pass rate is that of the group that was sampled the last time (the paper's off-policy
    estimate); a prompt that was never seen, or is forgotten, has the upper bound.
    """

    def __init__(self, config: PaluConfig, population: Population) -> None:
        self._config = config
        self._population = population
        self._memory = PromptMemory()

    def limit(self, prompt: Prompt, step: int) -> int:
        limit = self._memory.get(prompt.id).get(LIMIT, self._config.longest)
        assert isinstance(limit, int)
        return limit

    def observe(
        self, groups: Sequence[Group], verdicts: Sequence[Sequence[Verdict]]
    ) -> dict[str, float]:
        """Updates the limit of each group's prompt; the metric is the share that was put back."""
        resets = 0
        for group, judged in zip(groups, verdicts, strict=True):
            sampled_under = group.completions[0].limit
            limit = palu_limit(
                sampled_under,
                self._population(group, judged),
                sum(bool(v.correct) for v in judged) / len(judged),
                target=self._config.pass_rate,
                tau=self._config.quantile,
                longest=self._config.longest,
            )
            resets += limit > sampled_under
            self._memory.update(group.prompt.id, {LIMIT: max(limit, self._config.shortest_tokens)})
        return {"limit/reset_ratio": resets / len(groups)}

    def state(self) -> dict[str, Any]:
        return self._memory.state()

    def load(self, state: dict[str, Any]) -> None:
        self._memory.load(state)


def build_limit(config: PaluConfig) -> Limit:
    return PaluLimit(config, correct_lengths)


def build_limit_all(config: PaluAllConfig) -> Limit:
    return PaluLimit(config, all_lengths)
