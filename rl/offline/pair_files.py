"""Pairs as parquet: TRL's text columns, and the token ids that were sampled.

`prompt`, `chosen` and `rejected` are TRL's columns as text, for readers and for other trainers;
`prompt_ids`, `chosen_ids`, `rejected_ids` are what the engine read and sampled, for `laconic dpo`.
"""

from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from data.types import Prompt
from rl.evaluate.evaluation import Judged
from rl.offline.pairs import Pair

IDS = ("prompt_ids", "chosen_ids", "rejected_ids")

_SCHEMA = pa.schema(
    [
        ("prompt", pa.string()),
        ("chosen", pa.string()),
        ("rejected", pa.string()),
        *((name, pa.list_(pa.int32())) for name in IDS),
        ("prompt_id", pa.string()),
        ("level", pa.string()),
        *(
            (f"{side}_{name}", kind)
            for side in ("chosen", "rejected")
            for name, kind in (
                ("id", pa.string()),
                ("tokens", pa.int32()),
                ("correct", pa.bool_()),
                ("finish", pa.string()),
            )
        ),
    ]
)


def write_pairs(path: Path, pairs: Iterable[Pair], text_of: Callable[[Prompt], str]) -> None:
    """One row per pair; `text_of` gives a prompt as the policy reads it, special tokens and all."""
    rows = [_row(pair, text_of) for pair in pairs]
    pq.write_table(pa.Table.from_pylist(rows, schema=_SCHEMA), path)


def read_pairs(path: Path) -> pa.Table:
    """The pairs that `write_pairs` wrote; raises ValueError for anything else, and for none."""
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise ValueError(
            f"{path} cannot be read ({error}); give a file of `laconic pairs`"
        ) from error
    if missing := [name for name in ("prompt", *IDS) if name not in table.column_names]:
        raise ValueError(f"{path} lacks {', '.join(missing)}; give a file of `laconic pairs`")
    if not table.num_rows:
        raise ValueError(f"{path} holds no pairs; pairs.json beside it says why")
    return table


def _row(pair: Pair, text_of: Callable[[Prompt], str]) -> dict[str, Any]:
    prompt = pair.chosen.prompt
    return {
        "prompt": text_of(prompt),
        "prompt_ids": prompt.token_ids,
        "prompt_id": prompt.id,
        "level": pair.level,
        **_side("chosen", pair.chosen),
        **_side("rejected", pair.rejected),
    }


def _side(name: str, judged: Judged) -> dict[str, Any]:
    completion = judged.completion
    return {
        name: completion.text,
        f"{name}_ids": completion.token_ids,
        f"{name}_id": completion.id,
        f"{name}_tokens": completion.num_tokens,
        f"{name}_correct": judged.verdict.correct,
        f"{name}_finish": completion.finish.value,
    }
