"""What an advantage function looks like to the loop: scored groups in, advantages out."""

from collections.abc import Callable, Sequence

from data.types import Group, Score

Advantages = Callable[[Sequence[Group], Sequence[Sequence[Score]]], list[list[float]]]
"""Groups of one update and their scores [P][G] to one advantage per completion [P][G].

Groups may differ in size."""


def per_group(formula: Callable[[Sequence[float]], list[float]]) -> Advantages:
    """`formula`, which sees the total rewards of one group [G], applied to each group."""

    def advantages(groups: Sequence[Group], scores: Sequence[Sequence[Score]]) -> list[list[float]]:
        return [formula(rewards) for rewards in totals(scores)]

    return advantages


def totals(scores: Sequence[Sequence[Score]]) -> list[list[float]]:
    """The total reward of every completion [P][G]."""
    return [[score.total for score in group] for group in scores]
