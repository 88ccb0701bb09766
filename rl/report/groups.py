"""One prompt and its completions side by side: groups of training steps, and held-out problems.

What is shown is chosen without looking at the texts: groups in the order of the file from steps
that lie evenly over the run; held-out problems by what became of them, the first of each kind.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import groupby, zip_longest
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow.parquet as pq

from rl.evaluate.evaluation import Evaluation, Judged

NUM_STEPS = 8
MOST_GROUPS = 24
PROBLEMS_PER_KIND = 3
MOST_CHARACTERS = 6000
"""Of one text; a longer one is shown with its middle left out, for the answer stands at the end."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Shown:
    """One completion. `when` is before or after for a held-out one, which has no reward."""

    when: str
    text: str
    tokens: int
    finish: str
    limit: int
    correct: bool | None
    reason: str
    reward: float | None
    advantage: float | None
    parts: dict[str, float]


@dataclass(frozen=True, slots=True, kw_only=True)
class ShownGroup:
    """`kind` says where it is from and why it is shown."""

    kind: str
    prompt: str
    answer: str
    budget: int | None
    completions: tuple[Shown, ...]

    @property
    def num_correct(self) -> int:
        return sum(bool(each.correct) for each in self.completions)

    @property
    def num_characters(self) -> int:
        return len(self.prompt) + sum(len(each.text) for each in self.completions)


def training_groups(run_folder: Path) -> list[ShownGroup]:
    """Groups of evenly spread steps: the first group of each, then the second of each, and so on.

    Raises ValueError when a file cannot be read.
    """
    files = sorted(run_folder.glob("completions/step_*.parquet"))
    by_step = [list(_groups(file)) for file in spread(files, NUM_STEPS)]
    ranked = (group for rank in zip_longest(*by_step) for group in rank if group is not None)
    return list(ranked)[:MOST_GROUPS]


def spread(files: Sequence[Path], number: int) -> list[Path]:
    """The first, the last, and others evenly between them."""
    if len(files) <= number:
        return list(files)
    return [files[round(i * (len(files) - 1) / (number - 1))] for i in range(number)]


def held_out_groups(before: Evaluation, after: Evaluation) -> list[ShownGroup]:
    """Problems that both answered: lost, won, most shortened, most lengthened, and average ones."""
    old = {row[0].prompt.id: row for row in before.sampled}
    pairs = [(old[row[0].prompt.id], row) for row in after.sampled if row[0].prompt.id in old]
    gain = np.array([_accuracy(new) - _accuracy(was) for was, new in pairs])
    longer = np.array([_tokens(new) - _tokens(was) for was, new in pairs])
    order_gain, order_length = np.argsort(gain, kind="stable"), np.argsort(longer, kind="stable")
    middle = len(pairs) // 2
    kinds = {
        "answered worse after training": [i for i in order_gain if gain[i] < 0],
        "answered better after training": [i for i in order_gain[::-1] if gain[i] > 0],
        "shortened most": [i for i in order_length if longer[i] < 0],
        "lengthened most": [i for i in order_length[::-1] if longer[i] > 0],
        "average change of length": list(order_length[middle : middle + PROBLEMS_PER_KIND]),
    }
    shown: dict[int, str] = {}
    for kind, rows in kinds.items():
        fresh = [int(row) for row in rows if int(row) not in shown]
        shown |= dict.fromkeys(fresh[:PROBLEMS_PER_KIND], kind)
    return [_held_out(f"held-out, {kind}", *pairs[row]) for row, kind in shown.items()]


def within(groups: Sequence[ShownGroup], most_characters: int) -> list[ShownGroup]:
    """As many of the groups, in order, as the allowance holds; long texts without their middle."""
    found, left = [], most_characters
    for group in groups:
        short = replace(
            group,
            prompt=shortened(group.prompt),
            completions=tuple(replace(c, text=shortened(c.text)) for c in group.completions),
        )
        if short.num_characters <= left:
            left -= short.num_characters
            found.append(short)
    return found


def shortened(text: str) -> str:
    """The text, or its beginning and its end with the number of characters between them."""
    if len(text) <= MOST_CHARACTERS:
        return text
    head, tail = 2 * MOST_CHARACTERS // 3, MOST_CHARACTERS // 3
    left_out = len(text) - head - tail
    return f"{text[:head]}\n[... {left_out:,} characters left out ...]\n{text[-tail:]}"


def _groups(file: Path) -> Iterator[ShownGroup]:
    try:
        rows = pq.read_table(file).to_pylist()
        # The id is step/prompt/index: a prompt that is drawn twice makes two groups.
        named = groupby(rows, lambda row: str(row["id"]).rpartition("/")[0])
        yield from (_trained(list(members)) for _, members in named)
    except (OSError, KeyError, ValueError) as error:
        raise ValueError(f"{file} is not what a run writes ({error}); restore the file") from error


def _trained(rows: Sequence[dict[str, Any]]) -> ShownGroup:
    first = rows[0]
    return ShownGroup(
        kind=f"training, step {first['step']}",
        prompt=first["prompt"],
        answer=first["answer"],
        budget=first["budget"],
        completions=tuple(
            Shown(
                when="",
                text=row["completion"],
                tokens=row["tokens"],
                finish=row["finish"],
                limit=row["limit"],
                correct=row["correct"],
                reason=row["reason"] or "",
                reward=row["reward"],
                advantage=row["advantage"],
                parts={
                    name.removeprefix("parts/"): value
                    for name, value in row.items()
                    if name.startswith("parts/") and value is not None
                },
            )
            for row in rows
        ),
    )


def _held_out(kind: str, before: Sequence[Judged], after: Sequence[Judged]) -> ShownGroup:
    prompt = after[0].prompt
    sides = [("before", judged) for judged in before] + [("after", judged) for judged in after]
    return ShownGroup(
        kind=kind,
        prompt=prompt.messages[0]["content"],
        answer=prompt.answer,
        budget=prompt.budget.amount if prompt.budget else None,
        completions=tuple(_evaluated(when, judged) for when, judged in sides),
    )


def _evaluated(when: str, judged: Judged) -> Shown:
    return Shown(
        when=when,
        text=judged.completion.text,
        tokens=judged.completion.num_tokens,
        finish=judged.completion.finish.value,
        limit=judged.completion.limit,
        correct=judged.verdict.correct,
        reason=judged.verdict.reason,
        reward=None,
        advantage=None,
        parts={},
    )


def _accuracy(row: Sequence[Judged]) -> float:
    """Share of right answers among those with a verdict; 0 without any."""
    graded = [judged.verdict.correct for judged in row if judged.verdict.correct is not None]
    return sum(graded) / len(graded) if graded else 0.0


def _tokens(row: Sequence[Judged]) -> float:
    return sum(judged.completion.num_tokens for judged in row) / len(row)
