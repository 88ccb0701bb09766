"""Effort: a correct answer counts while it takes the asked-for share of the question's tokens.

e1, Adaptive Effort Control (arXiv:2510.27042): the prompt asks for an effort r, a fraction of the
tokens T_ref that the model takes for this question at present. The paper's text was not at hand and
sources leave T_ref open; each reading is a reward of its own. A truncated answer enters T_ref with
the tokens that it has, which biases T_ref downwards.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from data.config import BudgetKind
from data.memory import PromptMemory
from data.types import Group
from rewards.compose import with_length_terms
from rewards.config import RewardConfig
from rewards.protocols import Reward

TOKENS = "effort_tokens"
"""Name in a prompt's record: the moving average of its answers' lengths."""

References = Callable[[Sequence[Group]], Sequence[float]]
"""From the groups of an update to T_ref of each [P]."""


@dataclass(kw_only=True)
class EffortConfig(RewardConfig):
    """`reward: effort`, against the mean over the question's answers at every effort.

    Only those of the same update are known: the group alone, unless it holds the question twice.
    """

    def scored_budgets(self) -> frozenset[BudgetKind]:
        return frozenset({BudgetKind.EFFORT})


@dataclass(kw_only=True)
class GroupEffortConfig(EffortConfig):
    """`reward: effort_group`, against the mean of the group: efforts below 1 shrink it for ever."""


@dataclass(kw_only=True)
class MovingEffortConfig(EffortConfig):
    """`reward: effort_moving`, against a moving average over the question's earlier visits."""

    decay: float = 0.9
    """Share of the average that a further visit leaves; the first one is taken as it is."""

    def problems(self) -> list[str]:
        found = super().problems()
        if not 0 <= self.decay < 1:
            found.append(f"reward.decay={self.decay}: set 0 <= reward.decay < 1")
        return found


def effort_gate(
    lengths: Sequence[int], correct: Sequence[bool], effort: float, reference: float
) -> list[float]:
    """-1 for correct answers with n_i / T_ref > r, 0 for all others.

    e1 (arXiv:2510.27042), `reward = c [n / T_ref <= r]` less the correctness c. `effort` is r,
    `reference` T_ref; lengths are response tokens [G].
    """
    return [
        -1.0 if ok and n / reference > effort else 0.0
        for n, ok in zip(lengths, correct, strict=True)
    ]


def group_means(groups: Sequence[Group]) -> list[float]:
    """T_ref = mean_i n_i over the group [P]."""
    return [sum(group.lengths) / len(group.lengths) for group in groups]


def question_means(groups: Sequence[Group]) -> list[float]:
    """T_ref = mean n over all groups of the update with the same question, at any effort [P]."""
    lengths: dict[str, list[int]] = {}
    for group in groups:
        lengths.setdefault(group.prompt.id, []).extend(group.lengths)
    return [sum(lengths[g.prompt.id]) / len(lengths[g.prompt.id]) for g in groups]


def moving_means(groups: Sequence[Group], memory: PromptMemory, decay: float) -> list[float]:
    """T_ref = the question's moving average before this update, or else the group's mean [P].

    Then T <- decay T + (1 - decay) mean_i n_i with each group of the update.
    """
    means = group_means(groups)
    known = [_average(memory, group) for group in groups]
    for group, mean in zip(groups, means, strict=True):
        average = _average(memory, group)
        folded = mean if average is None else decay * average + (1 - decay) * mean
        memory.update(group.prompt.id, {TOKENS: folded})
    return [
        mean if average is None else average for average, mean in zip(known, means, strict=True)
    ]


def against(references: References) -> Reward:
    """Correctness that counts within the effort that each group's prompt asks for."""

    def terms(groups: Sequence[Group], correct: Sequence[Sequence[bool]]) -> list[list[float]]:
        return [
            effort_gate(group.lengths, ok, effort_of(group), reference)
            for group, ok, reference in zip(groups, correct, references(groups), strict=True)
        ]

    return with_length_terms(terms)


def effort_of(group: Group) -> float:
    """r: the effort that the group's prompt asks for, as a fraction."""
    budget = group.prompt.budget
    assert budget is not None, "a recipe without budgets is refused"
    return budget.amount / 100


def build_reward(config: EffortConfig) -> Reward:
    return against(question_means)


def build_group(config: GroupEffortConfig) -> Reward:
    return against(group_means)


def build_moving(config: MovingEffortConfig, memory: PromptMemory) -> Reward:
    return against(lambda groups: moving_means(groups, memory, config.decay))


def _average(memory: PromptMemory, group: Group) -> float | None:
    average = memory.get(group.prompt.id).get(TOKENS)
    assert average is None or isinstance(average, int | float), "written by `moving_means`"
    return average
