"""Which rows of a windowed step train: T-PPO's choice among finished and unfinished responses."""

from collections.abc import Sequence
from dataclasses import dataclass
from random import Random


@dataclass(frozen=True, slots=True, kw_only=True)
class WindowedGroup:
    """One group's part in a step.

    `rows` are its responses that ran in this step, `num_unfinished` of which go on in the next.
    `finished_scores` are those of all its responses that have ended, in this step or before.
    """

    rows: tuple[int, ...]
    num_unfinished: int
    finished_scores: tuple[float, ...]


def is_mixed(group: WindowedGroup, lowest: float, highest: float) -> bool:
    """lowest < mean of the finished scores < highest; False while none has finished."""
    scores = group.finished_scores
    return bool(scores) and lowest < sum(scores) / len(scores) < highest


def window_batch(
    groups: Sequence[WindowedGroup], num_rows: int, lowest: float, highest: float, draws: Random
) -> list[int]:
    """`num_rows` rows: of mixed groups, then of unfinished ones, then of the rest, then again.

    T-PPO (arXiv:2506.15050), strategy v1 of the authors' recipe: mixed groups in random order,
    groups with unfinished responses by how many they have, most first, then those whose scores are
    all the same. Rows that are still missing are repeats, drawn at random. Scores lie in `lowest`
    to `highest` (there -1 to 1). Raises ValueError when no row ran.
    """
    mixed = [group for group in groups if is_mixed(group, lowest, highest)]
    others = [group for group in groups if not is_mixed(group, lowest, highest)]
    draws.shuffle(mixed)
    # Stable: groups without unfinished responses come last, in their order.
    others.sort(key=lambda group: -group.num_unfinished)
    rows = [row for group in (*mixed, *others) for row in group.rows][:num_rows]
    if not rows:
        raise ValueError(f"{len(groups)} groups without a row that ran: there is nothing to train")
    return rows + draws.choices(rows, k=num_rows - len(rows))
