"""Rows that share prefixes as one sequence without padding: each distinct prefix is computed once.

Rows are paths of a forest of tokens: those of a group share their prompt, leaves of a tree whole
segments, and rows with nothing in common are trees of one path. Its tokens are laid out depth first
and `last[j]` is the last token below token j, so that token i may attend to j if j <= i <= last[j].
That inequality is packing, shared prompts and tree attention (TreePO, arXiv:2508.17445) in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from data.types import TokenIds

if TYPE_CHECKING:
    from torch.nn.attention.flex_attention import BlockMask

BLOCK_TOKENS = 128
"""Side of the tiles that FlexAttention computes or leaves out."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PrefixForest:
    """L tokens, depth first: each distinct prefix of the rows once.

    `token_ids` [L]; `depths` [L] are the positions of the tokens in their rows; `last` [L] is the
    index of the last token below each. `paths` has an array [n] per row: the indices of its tokens.
    """

    token_ids: NDArray[np.int64]
    depths: NDArray[np.int64]
    last: NDArray[np.int64]
    paths: list[NDArray[np.int64]]


def prefix_forest(rows: Sequence[TokenIds]) -> PrefixForest:
    """The forest of `rows`, of token ids [n] each; `paths` are in their order."""
    order = depth_first(rows)
    shared = shared_prefixes([rows[number] for number in order])
    ends = np.cumsum([len(rows[n]) - k for n, k in zip(order, shared, strict=True)])
    token_ids, depths, last = np.zeros((3, ends[-1]), np.int64)
    paths: dict[int, NDArray[np.int64]] = {}
    path = np.zeros(0, np.int64)
    for number, num_shared, end in zip(order, shared, ends, strict=True):
        num_tokens = len(rows[number])
        path = np.concatenate([path[:num_shared], np.arange(end - num_tokens + num_shared, end)])
        token_ids[path], depths[path] = rows[number], np.arange(num_tokens)
        # Of the rows that pass through a token, the last one has the last word.
        last[path] = path[-1]
        paths[number] = path
    return PrefixForest(
        token_ids=token_ids,
        depths=depths,
        last=last,
        paths=[paths[number] for number in range(len(rows))],
    )


def depth_first(rows: Sequence[TokenIds]) -> list[int]:
    """Row numbers in an order in which rows that share a prefix stand together.

    That is the order of their bytes: equal tokens are equal bytes.
    """
    return sorted(range(len(rows)), key=lambda number: rows[number].tobytes())


def shared_prefixes(rows: Sequence[TokenIds]) -> list[int]:
    """Leading tokens that each of `rows`, in depth-first order, shares with any row before it."""
    return [0, *(common_prefix(a, b) for a, b in pairwise(rows))]


def common_prefix(a: TokenIds, b: TokenIds) -> int:
    """Leading tokens that `a` and `b` have in common."""
    shorter = min(len(a), len(b))
    differs = a[:shorter] != b[:shorter]
    return int(differs.argmax()) if differs.any() else shorter


def num_distinct(rows: Sequence[TokenIds]) -> int:
    """Tokens of the forest of `rows`."""
    in_order = [rows[number] for number in depth_first(rows)]
    return sum(len(row) for row in rows) - sum(shared_prefixes(in_order))


def dense_mask(last: Tensor, dtype: torch.dtype) -> Tensor:
    """What is added to attention scores: 0 where j <= i <= last[j], elsewhere -inf [1, 1, L, L].

    Not booleans, which eager attention would add, and of which torch's own attention would make
    such a mask in every layer.
    """
    index = torch.arange(len(last), device=last.device)
    allowed = (index <= index[:, None]) & (index[:, None] <= last)
    scores = torch.zeros(allowed.shape, dtype=dtype, device=last.device)
    return scores.masked_fill_(~allowed, -torch.inf)[None, None]


def block_mask(last: Tensor) -> "BlockMask":
    """The same inequality for FlexAttention, in memory that grows with (L / BLOCK_TOKENS)^2.

    It holds somewhere in a tile of queries from a on and keys K with min K <= a if max last[K] >=
    a, and in the whole tile if min last[K] reaches its last query. Tiles on the diagonal hold in
    part.
    """
    from torch.nn.attention.flex_attention import BlockMask

    def holds(batch: Tensor, head: Tensor, query: Tensor, key: Tensor) -> Tensor:
        return (key <= query) & (query <= last[key])

    num_blocks = -(-len(last) // BLOCK_TOKENS)
    padding = num_blocks * BLOCK_TOKENS - len(last)
    tiles = torch.nn.functional.pad(last, (0, padding), value=-1).view(num_blocks, BLOCK_TOKENS)
    begins = torch.arange(0, len(last), BLOCK_TOKENS, device=last.device)[:, None]
    touched = (tiles.amax(dim=1) >= begins).tril()
    whole = (tiles.amin(dim=1) >= begins + BLOCK_TOKENS - 1).tril(-1)
    return BlockMask.from_kv_blocks(
        *ordered_blocks(touched & ~whole),
        *ordered_blocks(whole),
        BLOCK_SIZE=BLOCK_TOKENS,
        mask_mod=holds,
        seq_lengths=(len(last), len(last)),
    )


def ordered_blocks(chosen: Tensor) -> tuple[Tensor, Tensor]:
    """How many tiles of each row are `chosen` [1, 1, Q], and the columns, these first [1, 1, Q, K].

    `chosen` is [Q, K].
    """
    columns = torch.argsort(chosen.int(), dim=-1, descending=True, stable=True)
    return chosen.sum(dim=-1, dtype=torch.int32)[None, None], columns.int()[None, None]
