"""One row of a dataset, read and checked: a draft is a prompt that is not tokenized.

What cannot be used raises ValueError with the reason; `read_drafts` collects these by row.
"""

import math
import reprlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from data.columns import Columns, Row, source_of, value_at
from data.types import Message

MAX_DEPTH = 20
"""Lists within lists that a column may hold and still be kept for rewards."""
INT64 = 1 << 63
"""msgpack, in which prompts travel, ends here."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A readable row. `row` counts from 1; `extra` are its columns but the question's."""

    row: int
    messages: tuple[Message, ...]
    answer: str
    source: str
    extra: dict[str, Any]


def read_drafts(
    rows: Sequence[Row], columns: Columns, default_source: str
) -> tuple[list[Draft], dict[int, str]]:
    """The readable rows, and what is wrong with each of the others, by row number."""
    drafts, problems = [], {}
    for number, row in enumerate(rows, start=1):
        try:
            drafts.append(_draft(number, row, columns, default_source))
        except ValueError as error:
            problems[number] = str(error)
    return drafts, problems


def messages_of(value: object, column: str) -> tuple[Message, ...]:
    """Text as the user's one message, or a list of messages that ends with the user's."""
    if isinstance(value, str) and value.strip():
        return ({"role": "user", "content": _text(value, column)},)
    if not isinstance(value, list) or not value:
        raise ValueError(f"{column} is {_shown(value)}; it must be text or a list of messages")
    for message in value:
        if not isinstance(message, dict) or not all(
            isinstance(message.get(key), str) for key in ("role", "content")
        ):
            raise ValueError(
                f"{column} holds the message {_shown(message)}; each needs role and content as text"
            )
    if value[-1]["role"] != "user":
        raise ValueError(
            f"{column} ends with a message of {_shown(value[-1]['role'])}, not of 'user'"
        )
    return tuple(
        {"role": _text(m["role"], column), "content": _text(m["content"], column)} for m in value
    )


def answer_of(value: object, column: str) -> str:
    """The reference as text. GSM8K writes it after `####`, behind a worked solution."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{column} is {_shown(value)}; it must be text or a number")
    if not isinstance(value, str) and not _is_finite(value):
        raise ValueError(f"{column} is {_shown(value)}; it must be text or a finite number")
    answer = _text(str(value), column).rpartition("####")[2].strip()
    if not answer:
        raise ValueError(f"{column} is empty")
    return answer


def extra_of(row: Row) -> dict[str, Any]:
    """The columns that msgpack can hold as they are; images, bytes and dates are not kept."""
    return {name: row[name] for name in row if _can_travel(name) and _can_travel(row[name])}


def _draft(number: int, row: Row, columns: Columns, default_source: str) -> Draft:
    return Draft(
        row=number,
        messages=messages_of(value_at(row, columns.prompt), columns.prompt),
        answer=answer_of(value_at(row, columns.answer), columns.answer),
        source=_text(source_of(row, default_source), "source"),
        extra=extra_of({name: row[name] for name in row if name != columns.prompt}),
    )


def _can_travel(value: object, depth: int = 0) -> bool:
    if isinstance(value, str):
        return _is_unicode(value)
    if value is None or isinstance(value, bool | float):
        return True
    if isinstance(value, int):
        return -INT64 <= value < INT64
    if depth == MAX_DEPTH:
        return False
    if isinstance(value, list):
        return all(_can_travel(item, depth + 1) for item in value)
    return isinstance(value, dict) and all(
        isinstance(key, str) and _can_travel(key) and _can_travel(item, depth + 1)
        for key, item in value.items()
    )


def _text(text: str, column: str) -> str:
    if not _is_unicode(text):
        raise ValueError(f"{column} is {_shown(text)}: it holds half of a surrogate pair")
    return text


def _is_unicode(text: str) -> bool:
    r"""False for a lone surrogate such as \ud800, which JSON can write and UTF-8 cannot."""
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _is_finite(value: float) -> bool:
    """Whether the number can be written out: no NaN, no infinity, no thousands of digits."""
    return abs(value) < INT64 if isinstance(value, int) else math.isfinite(value)


def _shown(value: object) -> str:
    if value is None:
        return "missing"
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= INT64:
        return f"an integer of {value.bit_length()} bits"
    return reprlib.repr(value).encode("ascii", "backslashreplace").decode()[:60]
