"""LCPO: the reward says how well an answer kept to the number of tokens that its prompt asks for.

L1 (arXiv:2503.04697). `lcpo_exact` wants that many tokens, `lcpo_max` at most as many; the dual
objective scores each prompt by what it asks for.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial

from data.config import BudgetKind
from data.types import Group
from rewards.compose import with_length_terms
from rewards.config import RewardConfig
from rewards.protocols import Reward

Formula = Callable[[Sequence[int], Sequence[bool], int], list[float]]
"""From lengths [G], what is correct [G] and the budget n_gold to length terms [G]."""

EXACT_GIVES_UP = {
    "order": "eq. 1 pays wrong answers too for hitting the length",
    "monotone": "an answer shorter than asked for misses the length as a longer one does",
    "bounded": "every token away from the length that is asked for costs the same",
}
"""What L1-Exact (arXiv:2503.04697) does without, for `laconic reward check`."""


@dataclass(kw_only=True)
class LcpoConfig(RewardConfig):
    """What the LCPO rewards share."""

    alpha: float = 3e-4
    """Reward per token, of L1-Exact's runs; what L1-Max was trained with is not published."""

    def problems(self) -> list[str]:
        found = super().problems()
        if self.alpha <= 0:
            found.append(f"reward.alpha={self.alpha}: set reward.alpha>0")
        return found


@dataclass(kw_only=True)
class LcpoExactConfig(LcpoConfig):
    """`reward: lcpo_exact`, for `budget: exact`."""

    def scored_budgets(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EXACT})

    def given_up(self) -> dict[str, str]:
        return EXACT_GIVES_UP


@dataclass(kw_only=True)
class LcpoMaxConfig(LcpoConfig):
    """`reward: lcpo_max`, for `budget: max`."""

    delta: float = 0.5
    """Worth of a correct answer of exactly the budget's length."""

    def scored_budgets(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.MAX})

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 < self.delta <= 1:
            found.append(f"reward.delta={self.delta}: set 0 < reward.delta <= 1")
        return found


@dataclass(kw_only=True)
class LcpoMaxCodeConfig(LcpoConfig):
    """`reward: lcpo_max_code`, `lcpo_max` as the released code computes it."""

    def scored_budgets(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.MAX})


@dataclass(kw_only=True)
class LcpoDualConfig(LcpoMaxConfig):
    """`reward: lcpo_dual`, for `budget: dual`: exact or maximum, as each prompt asks."""

    def scored_budgets(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EXACT, BudgetKind.MAX})

    def given_up(self) -> dict[str, str]:
        return EXACT_GIVES_UP


def lcpo_exact_terms(lengths: Sequence[int], n_gold: int, alpha: float) -> list[float]:
    """-alpha * |n_gold - n_i|, for right and wrong answers alike.

    L1 (arXiv:2503.04697), eq. 1, `r = c - alpha |n_gold - n|` less the correctness c. Lengths are
    response tokens [G]. Unbounded below: a right answer that is 1 / alpha tokens off is worth no
    more than a wrong one that is not.
    """
    return [-alpha * abs(n_gold - n) for n in lengths]


def lcpo_max_terms(
    lengths: Sequence[int], correct: Sequence[bool], n_gold: int, alpha: float, delta: float
) -> list[float]:
    """clip(alpha (n_gold - n_i) + delta, 0, 1) - 1 for correct answers, 0 for wrong ones.

    L1 (arXiv:2503.04697), eq. 2, `r = c clip(alpha (n_gold - n) + delta, 0, 1)` less the
    correctness c. Lengths are response tokens [G]. An answer that is too long is worth as little as
    a wrong one from n_gold + delta / alpha on.
    """
    return [
        clip(alpha * (n_gold - n) + delta, 0, 1) - 1 if ok else 0.0
        for n, ok in zip(lengths, correct, strict=True)
    ]


def lcpo_max_code_terms(
    lengths: Sequence[int], correct: Sequence[bool], n_gold: int, alpha: float
) -> list[float]:
    """(clip(alpha (n_gold - n_i), -1, 1) + 1) / 2 - 1 for correct answers, 0 for wrong ones.

    The released code of L1 (github.com/cmu-l3/l1, math_reward.py, multiplier mode): the slope is
    half of the paper's for the same alpha, and delta is 1/2. Lengths are response tokens [G].
    """
    return [
        (clip(alpha * (n_gold - n), -1, 1) + 1) / 2 - 1 if ok else 0.0
        for n, ok in zip(lengths, correct, strict=True)
    ]


def clip(value: float, low: float, high: float) -> float:
    """`value`, or the end of [low, high] that it lies beyond."""
    return min(max(value, low), high)


def by_kind(formulas: Mapping[BudgetKind, Formula]) -> Reward:
    """Correctness plus, in each group, the formula for the kind of budget that its prompt has."""

    def terms(groups: Sequence[Group], correct: Sequence[Sequence[bool]]) -> list[list[float]]:
        found = []
        for group, ok in zip(groups, correct, strict=True):
            budget = group.prompt.budget
            assert budget is not None, "a recipe without budgets is refused"
            found.append(formulas[budget.kind](group.lengths, ok, budget.amount))
        return found

    return with_length_terms(terms)


def build_exact(config: LcpoExactConfig) -> Reward:
    return by_kind({BudgetKind.EXACT: _exact(config)})


def build_max(config: LcpoMaxConfig) -> Reward:
    return by_kind({BudgetKind.MAX: _max(config)})


def build_max_code(config: LcpoMaxCodeConfig) -> Reward:
    return by_kind({BudgetKind.MAX: partial(lcpo_max_code_terms, alpha=config.alpha)})


def build_dual(config: LcpoDualConfig) -> Reward:
    """L1 (arXiv:2503.04697), how L1-Max is trained: eq. 1 or eq. 2, as the prompt asks."""
    return by_kind({BudgetKind.EXACT: _exact(config), BudgetKind.MAX: _max(config)})


def _exact(config: LcpoConfig) -> Formula:
    return lambda lengths, ok, n_gold: lcpo_exact_terms(lengths, n_gold, config.alpha)


def _max(config: LcpoMaxConfig) -> Formula:
    return partial(lcpo_max_terms, alpha=config.alpha, delta=config.delta)
