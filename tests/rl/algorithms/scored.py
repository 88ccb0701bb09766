"""Scored groups for the tests of advantages."""

from collections.abc import Sequence

from data.types import Group, Score
from tests.rewards.groups import group

Scored = tuple[list[Group], list[list[Score]]]


def scored(
    rewards: Sequence[Sequence[float]], lengths: Sequence[Sequence[int]] | None = None
) -> Scored:
    """Groups whose completions have these total rewards [P][G] and lengths, else one token each."""
    lengths = lengths or [[1] * len(row) for row in rewards]
    groups = [group(f"p{number}", row) for number, row in enumerate(lengths)]
    return groups, in_parts([[{"correct": reward} for reward in row] for row in rewards])


def in_parts(rows: Sequence[Sequence[dict[str, float]]]) -> list[list[Score]]:
    """Scores [P][G] that are the sums of these parts."""
    return [
        [Score(correct=False, parts=parts, total=sum(parts.values())) for parts in row]
        for row in rows
    ]
