"""What an advantage function looks like to the loop: rewards of a batch in, advantages out."""

from collections.abc import Callable, Sequence

GroupAdvantages = Callable[[Sequence[Sequence[float]]], list[list[float]]]
"""Rewards of one batch [P][G] to one advantage per completion [P][G]; groups may differ in size."""


def per_group(formula: Callable[[Sequence[float]], list[float]]) -> GroupAdvantages:
    """`formula`, which sees one group [G], applied to each group of a batch [P][G]."""

    def advantages(rewards: Sequence[Sequence[float]]) -> list[list[float]]:
        return [formula(group) for group in rewards]

    return advantages
