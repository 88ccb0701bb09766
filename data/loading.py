"""From a dataset's rows to prompts, in whichever columns the row's framework writes them.

Flow: `load_rows` -> `find_columns` -> one `Draft` per row -> chat template -> prompts without
duplicates. Whatever is wrong with the data is said in one message, by row.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from data.config import DataConfig
from data.rows import Row, listed, load_rows
from data.templates import conversation, tokenize
from data.types import Message, Prompt, prompt_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)

PROMPT_COLUMNS = ("prompt", "question", "problem", "input")
ANSWER_COLUMNS = ("reward_model.ground_truth", "answer", "label", "ground_truth", "solution")
SOURCE_COLUMNS = ("data_source", "source")
"""Columns of TRL, verl, OpenRLHF, verifiers, the more specific first; a dot enters a dictionary."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Columns:
    """Where a dataset keeps its questions and its answers."""

    prompt: str
    answer: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Draft:
    """A readable row: a prompt that is not tokenized. `row` counts from 1."""

    row: int
    messages: tuple[Message, ...]
    answer: str
    source: str
    extra: dict[str, Any]


def load_prompts(
    config: DataConfig,
    tokenizer: "PreTrainedTokenizerBase",
    max_prompt_tokens: int,
    *,
    held_out: bool = False,
) -> list[Prompt]:
    """The training prompts of `config`, or the held-out ones, in the dataset's order.

    Raises ValueError with everything that is wrong: missing columns, malformed rows, empty answers,
    prompts longer than `max_prompt_tokens`.
    """
    path, split = (config.eval_path, config.eval_split) if held_out else (config.path, config.split)
    rows = load_rows(path, split)
    if not rows:
        raise ValueError(f"data path {path}, split {split}: there are no rows")
    columns = find_columns(rows, config, path)
    drafts, problems = read_drafts(rows, columns, default_source=path.rstrip("/").split("/")[-1])
    conversations = [
        conversation(draft.messages, config.instruction, config.system_prompt) for draft in drafts
    ]
    token_ids = tokenize(tokenizer, conversations)
    problems |= _too_long(drafts, token_ids, max_prompt_tokens)
    if problems:
        by_row = [f"row {row}: {problems[row]}" for row in sorted(problems)]
        raise ValueError(
            listed(f"data path {path}, split {split}: rows that cannot be used", by_row)
        )
    prompts = [_prompt(draft, ids) for draft, ids in zip(drafts, token_ids, strict=True)]
    return without_duplicates(prompts, path)


def find_columns(rows: Sequence[Row], config: DataConfig, path: str) -> Columns:
    """The configured columns, or the first known ones; a ValueError names what is there."""
    present = {name: None for row in rows for name in _column_names(row)}
    prompt = _choose(config.prompt_column, PROMPT_COLUMNS, present)
    answer = _choose(config.answer_column, ANSWER_COLUMNS, present)
    problems = []
    if prompt is None:
        wanted = config.prompt_column or " or ".join(PROMPT_COLUMNS)
        problems.append(f"no column {wanted}: set data.prompt_column=NAME")
    if answer is None:
        wanted = config.answer_column or " or ".join(ANSWER_COLUMNS)
        problems.append(f"no answers in a column {wanted}: set data.answer_column=NAME")
    if prompt is None or answer is None:
        raise ValueError(
            listed(f"data path {path} has the columns {', '.join(present)}, but", problems)
        )
    return Columns(prompt=prompt, answer=answer)


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


def without_duplicates(prompts: Sequence[Prompt], path: str) -> list[Prompt]:
    """The first of each prompt id; what is left out is counted in the log."""
    kept: dict[str, Prompt] = {}
    conflicts = 0
    for prompt in prompts:
        first = kept.setdefault(prompt.id, prompt)
        conflicts += first.answer != prompt.answer
    if dropped := len(prompts) - len(kept):
        logger.warning(
            "data path %s: %d of %d prompts occur before and are left out (%d of them with another "
            "answer; the first one counts)",
            path,
            dropped,
            len(prompts),
            conflicts,
        )
    return list(kept.values())


def _draft(number: int, row: Row, columns: Columns, default_source: str) -> Draft:
    source = next((str(row[name]) for name in SOURCE_COLUMNS if row.get(name)), default_source)
    used = {columns.prompt, columns.answer, *PROMPT_COLUMNS, *ANSWER_COLUMNS, *SOURCE_COLUMNS}
    scalars = {
        name: value
        for name, value in row.items()
        if name not in used and isinstance(value, str | int | float | bool)
    }
    return Draft(
        row=number,
        messages=_messages(_value(row, columns.prompt), columns.prompt),
        answer=_answer(_value(row, columns.answer), columns.answer),
        source=source,
        extra=scalars,
    )


def _messages(value: object, column: str) -> tuple[Message, ...]:
    if isinstance(value, str) and value.strip():
        return ({"role": "user", "content": value},)
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
        raise ValueError(f"{column} ends with a message of {value[-1]['role']!r}, not of 'user'")
    return tuple({"role": m["role"], "content": m["content"]} for m in value)


def _answer(value: object, column: str) -> str:
    """The reference as text. GSM8K writes it after `####`, behind a worked solution."""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{column} is {_shown(value)}; it must be text or a number")
    answer = str(value).rpartition("####")[2].strip()
    if not answer:
        raise ValueError(f"{column} is empty")
    return answer


def _too_long(
    drafts: Sequence[Draft], token_ids: Sequence[Sequence[int]], max_prompt_tokens: int
) -> dict[int, str]:
    longest = max((len(ids) for ids in token_ids), default=0)
    return {
        draft.row: f"the prompt has {len(ids)} tokens, more than "
        f"rollout.max_prompt_tokens={max_prompt_tokens}; set rollout.max_prompt_tokens>={longest}"
        for draft, ids in zip(drafts, token_ids, strict=True)
        if len(ids) > max_prompt_tokens
    }


def _prompt(draft: Draft, token_ids: Sequence[int]) -> Prompt:
    return Prompt(
        id=prompt_id(draft.source, draft.messages),
        messages=draft.messages,
        token_ids=np.array(token_ids, np.int32),
        answer=draft.answer,
        source=draft.source,
        extra=draft.extra,
    )


def _column_names(row: Row) -> list[str]:
    """Top-level names, and `reward_model.ground_truth` for a dictionary's own."""
    nested = [
        f"{name}.{key}" for name, value in row.items() if isinstance(value, dict) for key in value
    ]
    return [*row, *nested]


def _choose(configured: str, known: Sequence[str], present: dict[str, None]) -> str | None:
    candidates = [configured] if configured else known
    return next((name for name in candidates if name in present), None)


def _value(row: Row, column: str) -> object:
    """The value of a column, None where the row lacks it."""
    outer, _, inner = column.partition(".")
    if column in row or not inner:
        return row.get(column)
    holder = row.get(outer)
    return holder.get(inner) if isinstance(holder, dict) else None


def _shown(value: object) -> str:
    return "missing" if value is None else repr(value)[:60]
