"""Rows, commands and results between rank 0 and the other ranks: flat tensors, never pickles.

A command is msgpack bytes, broadcast. Rows are one int32 and one float32 buffer per rank, padded
to the longest rank and scattered; log-probs come back in one float32 buffer per rank.
"""

from collections.abc import Callable, Sequence
from dataclasses import fields
from typing import Any, NamedTuple, get_type_hints

import numpy as np
import torch
import torch.distributed as dist
from numpy.typing import NDArray
from torch import Tensor

from data.types import LogProbs, TokenIds
from data.wire import decode, encode
from rl.learner.batch import AnyRow, TokenRow
from rl.learner.process_group import Ranks

Work = list[list[list[AnyRow]]]
"""Rows of one rank: its micro-batches, per minibatch."""

Command = dict[str, str | int]


class Channel:
    """Rank 0's line to the other ranks; with one rank nothing is sent.

    The group is gloo, and waits without a practical bound: between commands rank 0 rolls out.
    """

    def __init__(self, ranks: Ranks, group: dist.ProcessGroup | None) -> None:
        self._ranks = ranks
        self._group = group

    def announce(self, command: Command) -> None:
        """On rank 0: tells the others what comes."""
        payload = torch.frombuffer(bytearray(encode(command)), dtype=torch.uint8)
        self._broadcast(torch.tensor([len(payload)]))
        self._broadcast(payload)

    def await_command(self) -> Command:
        """On the others: what rank 0 announces next."""
        size = torch.zeros(1, dtype=torch.int64)
        self._broadcast(size)
        payload = torch.zeros(int(size), dtype=torch.uint8)
        self._broadcast(payload)
        return decode(payload.numpy().tobytes(), Command)

    def scatter(self, works: Sequence[Work[AnyRow]] | None, kind: type[AnyRow]) -> Work[AnyRow]:
        """Gives every rank its rows, of type `kind`; `works` has an entry per rank, on rank 0."""
        if self._group is None:
            assert works is not None
            return works[0]
        packed = [pack(work, kind) for work in works] if works is not None else None
        integers = self._scatter([p.integers for p in packed] if packed else None, torch.int32)
        floats = self._scatter([p.floats for p in packed] if packed else None, torch.float32)
        return unpack(Packed(integers.numpy(), floats.numpy()), kind)

    def gather(self, values: LogProbs) -> list[LogProbs]:
        """Every rank's `values` on rank 0, in rank order; empty on the others."""
        if self._group is None:
            return [values]
        sizes = [torch.zeros(1, dtype=torch.int64) for _ in range(self._ranks.world_size)]
        dist.all_gather(sizes, torch.tensor([len(values)]), group=self._group)
        longest = max(int(size) for size in sizes)
        padded = torch.zeros(longest, dtype=torch.float32)
        padded[: len(values)] = torch.from_numpy(values)
        buffers = [torch.zeros(longest) for _ in sizes] if self._ranks.is_first else None
        dist.gather(padded, buffers, group=self._group)
        return [
            buffer[: int(size)].numpy() for buffer, size in zip(buffers or [], sizes, strict=False)
        ]

    def meet(self) -> None:
        """Returns when every rank has called it."""
        if self._group is not None:
            dist.barrier(group=self._group)

    def _broadcast(self, tensor: Tensor) -> None:
        if self._group is not None:
            dist.broadcast(tensor, src=0, group=self._group)

    def _scatter(self, arrays: list[NDArray[np.generic]] | None, dtype: torch.dtype) -> Tensor:
        sizes = torch.zeros(self._ranks.world_size, dtype=torch.int64)
        if arrays is not None:
            sizes = torch.tensor([len(array) for array in arrays])
        self._broadcast(sizes)
        longest = int(sizes.max())
        received = torch.zeros(longest, dtype=dtype)
        chunks = None
        if arrays is not None:
            chunks = [torch.from_numpy(np.resize(array, longest)) for array in arrays]
        dist.scatter(received, chunks, src=0, group=self._group)
        return received[: int(sizes[self._ranks.rank])]


class Packed(NamedTuple):
    """Rows as two flat buffers.

    integers: minibatches, then per minibatch its micro-batches, then per micro-batch its rows, then
    per row and field the number of entries, followed by them unless they are floats; those stand
    in floats.
    """

    integers: NDArray[np.int32]
    floats: NDArray[np.float32]


FLOATS = (float, LogProbs)
READ: dict[Any, Callable[[NDArray[Any]], Any]] = {
    int: lambda entries: int(entries[0]),
    float: lambda entries: float(entries[0]),
    TokenIds: lambda entries: entries,
    NDArray[np.bool_]: lambda entries: entries.astype(np.bool_),
    LogProbs: lambda entries: entries,
}
"""From a field's entries to its value, by the field's type."""


def pack(work: Work[AnyRow], kind: type[AnyRow]) -> Packed:
    types = field_types(kind)
    integers: list[NDArray[np.int32]] = [_ints(len(work))]
    floats: list[NDArray[np.float32]] = [np.zeros(0, np.float32)]
    for minibatch in work:
        integers.append(_ints(len(minibatch)))
        for micro in minibatch:
            integers.append(_ints(len(micro)))
            for row in micro:
                for name, of_field in types.items():
                    entries = np.atleast_1d(getattr(row, name))
                    integers.append(_ints(len(entries)))
                    if of_field in FLOATS:
                        floats.append(entries.astype(np.float32, copy=False))
                    else:
                        integers.append(entries.astype(np.int32, copy=False))
    return Packed(np.concatenate(integers), np.concatenate(floats))


def unpack(packed: Packed, kind: type[AnyRow]) -> Work[AnyRow]:
    """What `pack` was given; the rows are of type `kind`."""
    reader, types = _Reader(packed), field_types(kind)
    return [
        [[kind(**reader.row(types)) for _ in range(reader.count())] for _ in range(reader.count())]
        for _ in range(reader.count())
    ]


def field_types(kind: type[TokenRow]) -> dict[str, Any]:
    """The fields of a kind of row, in their order, with their types."""
    hints = get_type_hints(kind)
    return {field.name: hints[field.name] for field in fields(kind)}


class _Reader:
    def __init__(self, packed: Packed) -> None:
        self._packed = packed
        self._integer = 0
        self._float = 0

    def count(self) -> int:
        return int(self._integers(1)[0])

    def row(self, types: dict[str, Any]) -> dict[str, Any]:
        """The fields of the next row."""
        found = {}
        for name, of_field in types.items():
            take = self._floats if of_field in FLOATS else self._integers
            found[name] = READ[of_field](take(self.count()))
        return found

    def _integers(self, count: int) -> NDArray[np.int32]:
        self._integer += count
        return self._packed.integers[self._integer - count : self._integer]

    def _floats(self, count: int) -> NDArray[np.float32]:
        self._float += count
        return self._packed.floats[self._float - count : self._float]


def _ints(*values: int) -> NDArray[np.int32]:
    return np.array(values, dtype=np.int32)
