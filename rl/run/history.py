"""`history.jsonl`: id, versions, finish, tokens and fate of every completion; never its text."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import msgspec

FIELDS = frozenset({"id", "prompt", "step", "versions", "finish", "tokens", "fate"})


def append_history(folder: Path, records: Iterable[Mapping[str, Any]]) -> None:
    """Appends one line per record, in one write; a record has exactly the keys in `FIELDS`."""
    rows = [dict(record) for record in records]
    for row in rows:
        assert row.keys() == FIELDS, f"history record {row.get('id')}: keys {sorted(row)}"
    if rows:
        with (folder / "history.jsonl").open("ab") as file:
            file.write(msgspec.json.Encoder().encode_lines(rows))
