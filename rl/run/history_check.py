"""Offline proof from a run's files that no completion was lost, doubled or silently dropped.

`history.jsonl` says what became of every request. It is held against itself and against what was
written independently of it: the recipe's group size, and the rows of each update in `completions/`.
"""

import re
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path

import msgspec
import pyarrow.parquet as pq
import yaml

from rollout.books import Fate

REQUEST = re.compile(r"(?P<first>(?P<group>\d+/.+)/(?P<index>\d+))(\+(?P<again>\d+))?")
"""`step/prompt/index`, and `+k` on the k-th request that took the place of a lost one."""


class HistoryRow(msgspec.Struct, frozen=True):
    """What the check reads of a line."""

    id: str
    step: int
    fate: Fate


def history_problems(folder: Path) -> list[str]:
    """What is wrong with the books of the run in `folder`; empty when they balance.

    The rows of an update are all compared where `log.completions_per_step` kept them all, and else
    those that were kept.
    """
    recipe = yaml.safe_load((folder / "recipe.yaml").read_text())
    rows = msgspec.json.Decoder(HistoryRow).decode_lines(
        (folder / "history.jsonl").read_bytes(),
    )
    return [
        *_doubled(rows),
        *_missing(rows, recipe["algorithm"]["group_size"]),
        *_broken_chains(rows),
        *_untrained(folder, rows, recipe["log"]["completions_per_step"]),
    ]


def _doubled(rows: Sequence[HistoryRow]) -> list[str]:
    counts = Counter(row.id for row in rows)
    return [f"{name} has {count} fates" for name, count in counts.items() if count > 1]


def _missing(rows: Sequence[HistoryRow], group_size: int) -> list[str]:
    """Groups of which a completion has no line: their indices are not 0 to a multiple of G."""
    indices: dict[str, set[int]] = defaultdict(set)
    found = []
    for row in rows:
        match = REQUEST.fullmatch(row.id)
        if match is None:
            found.append(f"{row.id} is not the id of a request")
        else:
            indices[match["group"]].add(int(match["index"]))
    for group, present in indices.items():
        whole = set(range(-(-(max(present) + 1) // group_size) * group_size))
        found += [f"{group}/{index} has no fate" for index in sorted(whole - present)]
    return found


def _broken_chains(rows: Sequence[HistoryRow]) -> list[str]:
    """A lost request goes on as the next one, and a next one follows only a lost request."""
    fates = {row.id: row.fate for row in rows}
    found = []
    for name, fate in fates.items():
        match = REQUEST.fullmatch(name)
        if match is None:
            continue
        first, again = match["first"], int(match["again"] or 0)
        if fate is Fate.LOST and f"{first}+{again + 1}" not in fates:
            found.append(f"{name} was lost with its engine and not issued again")
        before = first if again == 1 else f"{first}+{again - 1}"
        if again and fates.get(before) is not Fate.LOST:
            found.append(f"{name} was issued although {before} was not lost")
    return found


def _untrained(folder: Path, rows: Sequence[HistoryRow], kept: int) -> list[str]:
    """The rows of all updates against the trained completions.

    A completion trains once, in the update after it was asked for or, in an asynchronous run, in a
    later one. The counts agree unless a batch has the most rows that are kept.
    """
    trained = {row.id for row in rows if row.fate is Fate.TRAINED}
    paths = sorted((folder / "completions").glob("step_*.parquet"))
    batches = [pq.read_table(path, columns=["id"])["id"].to_pylist() for path in paths]
    written = Counter(name for batch in batches for name in batch)
    found = [f"{name} is in a batch and not trained" for name in written if name not in trained]
    found += [f"{name} is in {count} batches" for name, count in written.items() if count > 1]
    if len(written) < len(trained) and all(len(batch) < kept for batch in batches):
        found.append(f"{len(written)} completions in the batches, {len(trained)} trained")
    return found
