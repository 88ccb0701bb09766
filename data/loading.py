"""From a dataset's rows to prompts, in whichever columns the row's framework writes them.

Flow: `load_rows` -> `find_columns` -> one `Draft` per row -> its budget -> chat template -> prompts
without duplicates, and a `DataReport` on all the others. Whatever is wrong is said in one message,
by row.
"""

import logging
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from data.budgets import Draw, no_budget, phrase_of
from data.columns import find_columns
from data.config import DataConfig, UnusableRows
from data.drafts import Draft, read_drafts
from data.report import DataReport, by_row
from data.rows import Row, listed, load_rows
from data.templates import conversation, tokenize_each
from data.types import Budget, Prompt, prompt_id

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerBase

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Dataset:
    """The prompts of one split, in its order, and what became of its other rows."""

    prompts: list[Prompt]
    report: DataReport


def load_prompts(
    config: DataConfig,
    tokenizer: "PreTrainedTokenizerBase",
    max_prompt_tokens: int,
    *,
    held_out: bool = False,
) -> list[Prompt]:
    """The prompts of `load_dataset`."""
    return load_dataset(config, tokenizer, max_prompt_tokens, held_out=held_out).prompts


def load_dataset(
    config: DataConfig,
    tokenizer: "PreTrainedTokenizerBase",
    max_prompt_tokens: int,
    *,
    held_out: bool = False,
    draw: Draw = no_budget,
    load: Callable[[str, str], list[Row]] = load_rows,
) -> Dataset:
    """The training prompts of `config`, or the held-out ones, in the dataset's order.

    A question that occurs again is left out, listed by row in the log and counted. Malformed rows,
    empty answers and prompts longer than `max_prompt_tokens` raise ValueError, all in one message,
    or are left out in the same way where `data.unusable_rows=leave_out` says so. `draw` gives each
    prompt its budget, by the prompt's id; `load` gives the rows of a path and a split.
    """
    path, split = (config.eval_path, config.eval_split) if held_out else (config.path, config.split)
    rows = load(path, split)
    if not rows:
        raise ValueError(f"data path {path}, split {split}: there are no rows")
    columns = find_columns(rows, path, config.prompt_column, config.answer_column)
    drafts, problems = read_drafts(rows, columns, default_source=path.rstrip("/").split("/")[-1])
    budgets = {d.row: draw(prompt_id(d.source, d.messages)) for d in drafts}
    token_ids, refused = _tokenized(drafts, budgets, config, tokenizer, max_prompt_tokens)
    problems |= refused
    usable = [draft for draft in drafts if draft.row not in problems]
    if problems and (config.unusable_rows is UnusableRows.refuse or not usable):
        raise ValueError(
            listed(f"data path {path}, split {split}: rows that cannot be used", by_row(problems))
        )
    first, duplicates, conflicts = _first_of_each(usable)
    report = DataReport(
        path=path,
        split=split,
        num_rows=len(rows),
        num_prompts=len(first),
        duplicates=duplicates,
        conflicts=frozenset(conflicts),
        unusable=problems,
    )
    for line in report.lines():
        logger.warning("%s", line)
    prompts = [_prompt(d, token_ids[d.row], budgets[d.row]) for d in first]
    return Dataset(prompts=prompts, report=report)


def _tokenized(
    drafts: Sequence[Draft],
    budgets: Mapping[int, Budget | None],
    config: DataConfig,
    tokenizer: "PreTrainedTokenizerBase",
    max_prompt_tokens: int,
) -> tuple[dict[int, list[int]], dict[int, str]]:
    """Token ids by row, and by row why there are none or too many."""
    conversations = [
        conversation(
            draft.messages,
            config.instruction,
            config.system_prompt,
            phrase_of(budgets[draft.row]),
        )
        for draft in drafts
    ]
    results = tokenize_each(tokenizer, conversations)
    token_ids, problems = {}, {}
    for draft, result in zip(drafts, results, strict=True):
        if isinstance(result, str):
            problems[draft.row] = result
        else:
            token_ids[draft.row] = result
    longest = max((len(ids) for ids in token_ids.values()), default=0)
    for row, ids in token_ids.items():
        if len(ids) > max_prompt_tokens:
            problems[row] = (
                f"the prompt has {len(ids)} tokens, more than rollout.max_prompt_tokens="
                f"{max_prompt_tokens}; set rollout.max_prompt_tokens>={longest}"
            )
    return token_ids, problems


def _first_of_each(
    drafts: Sequence[Draft],
) -> tuple[list[Draft], dict[int, int], set[int]]:
    """The first draft of each prompt id; later row to first row; those with another answer."""
    first: dict[str, Draft] = {}
    duplicates, conflicts = {}, set()
    for draft in drafts:
        earlier = first.setdefault(prompt_id(draft.source, draft.messages), draft)
        if earlier is not draft:
            duplicates[draft.row] = earlier.row
            if earlier.answer != draft.answer:
                conflicts.add(draft.row)
    return list(first.values()), duplicates, conflicts


def _prompt(draft: Draft, token_ids: Sequence[int], budget: Budget | None) -> Prompt:
    return Prompt(
        id=prompt_id(draft.source, draft.messages),
        messages=draft.messages,
        token_ids=np.array(token_ids, np.int32),
        answer=draft.answer,
        budget=budget,
        source=draft.source,
        extra=draft.extra,
    )
