"""Keys and values of the running rows: one table for each per layer, written in place.

All rows write the same column at the same step, whatever their own position: a row that joins late
or has a short prompt begins further right and is masked to its left. So a step writes one slice,
and reads a view; nothing is allocated.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor
from transformers import Cache, DynamicCache

COLUMNS = 2
"""The dimension of columns in a table [slots, heads, columns, head size]."""


class TableCache(Cache):
    """The cache that a transformers model reads and writes while it decodes one token per row."""

    def __init__(self, num_slots: int) -> None:
        super().__init__(layers=[])
        self._num_slots = num_slots
        self._tables: list[Tensor] = []
        self._rows, self._first, self._column, self._columns = 0, 0, 0, 0

    def at(self, rows: int, first: int, column: int) -> "TableCache":
        """Itself; the next step writes `column` of `rows` slots and reads from `first` on."""
        self._rows, self._first, self._column = rows, first, column
        return self

    def update(
        self, key_states: Tensor, value_states: Tensor, layer_idx: int, *_: Any, **__: Any
    ) -> tuple[Tensor, Tensor]:
        """Called by every layer: stores its new key and value, returns those of the window."""
        keys, values = (
            self._tables[2 * layer_idx + kind][: self._rows, :, : self._column + 1]
            for kind in (0, 1)
        )
        keys[:, :, self._column :] = key_states
        values[:, :, self._column :] = value_states
        return keys[:, :, self._first :], values[:, :, self._first :]

    def get_seq_length(self, layer_idx: int = 0) -> int:
        return self._column - self._first

    def fill(
        self, prompts: DynamicCache, sources: Sequence[int], slots: Sequence[int], end: int
    ) -> None:
        """Row `sources[i]` of `prompts` becomes slot `slots[i]`, its last column left of `end`."""
        states = [part for layer in prompts.layers for part in (layer.keys, layer.values)]
        if not self._tables:
            shapes = [
                (self._num_slots, part.shape[1], self._columns, part.shape[3]) for part in states
            ]
            self._tables = [
                part.new_zeros(shape) for part, shape in zip(states, shapes, strict=True)
            ]
        for table, part in zip(self._tables, states, strict=True):
            table[slots, :, end - part.shape[COLUMNS] : end] = part[sources]

    def move(self, sources: Sequence[int], slots: Sequence[int], first: int, column: int) -> None:
        """Copies columns [first, column) of some slots into others."""
        for table in self._tables:
            table[slots, :, first:column] = table[sources, :, first:column]

    def relocate(self, rows: int, first: int, column: int, start: int, columns: int) -> None:
        """Tables of `columns` columns, with columns [first, column) of `rows` slots at `start`."""
        self._columns = columns
        self._tables = [
            relocated(table, COLUMNS, rows, slice(first, column), start, columns)
            for table in self._tables
        ]


def relocated(table: Tensor, dim: int, rows: int, kept: slice, start: int, columns: int) -> Tensor:
    """Zeros shaped as `table` but `columns` long in `dim`, with the `kept` columns at `start`.

    Zeros and not empty memory: a masked column weighs 0, and 0 times a stray NaN would be NaN.
    """
    shape = list(table.shape)
    shape[dim] = columns
    grown = table.new_zeros(shape)
    width = kept.stop - kept.start
    if rows and width:
        grown[:rows].narrow(dim, start, width).copy_(table[:rows].narrow(dim, kept.start, width))
    return grown


def causal_mask(padding: Tensor, length: int, dtype: torch.dtype) -> Tensor:
    """What each token of prompts padded on the left may see: 0 or the least number, [U, 1, L, L].

    `padding` [U] counts the columns left of each prompt.
    """
    columns = torch.arange(length, device=padding.device)
    seen = (columns[:, None] >= columns) & (columns >= padding[:, None, None])
    mask = torch.zeros(seen.shape, dtype=dtype, device=padding.device)
    return mask.masked_fill_(~seen, torch.finfo(dtype).min)[:, None]
