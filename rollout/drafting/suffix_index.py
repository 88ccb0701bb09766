"""Where the last tokens of a sequence stood before, in the sequences of the same prompt.

Every prompt has a slot of `ways` lanes, one sequence each, so that a lane is slot * ways + way:

    tokens [lane, position]     DEPTH times nothing, then the sequence: prompt and output
    cells  [slot, hash, way]    the latest position that follows an n-gram, for each length n

A lookup reads one row of cells per n and compares the DEPTH tokens before each position found with
the sequence's own last tokens. So a hash collision costs a candidate and never makes a wrong one,
and what an earlier owner of a lane left behind needs no clearing.

An engine waits for this in every step, so the loops are compiled (numba), as in vLLM's own n-grams.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
from numba import njit
from numpy.typing import NDArray

from data.types import TokenIds

Ints = NDArray[np.int64]

DEPTH = 16
"""The longest match that is told from a longer one, in tokens."""
GRAMS = (1, 3, 8)
"""Lengths n of the n-grams that are looked up; the first is the shortest match.

A single token is worth looking up: the votes of the siblings tell whether it says anything.
"""
CELLS_PER_TOKEN = 2
"""Half of the cells stay empty in the longest sequence: few n-grams collide."""
NO_TOKEN = -1
"""Where a sequence has no token: before its start and after its end."""

MULTIPLIERS = np.random.default_rng(0).integers(1 << 63, size=max(GRAMS), dtype=np.uint64) * 2 + 1
"""Odd multipliers of the n-gram hash."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidates:
    """For each of B sequences and each of the M lanes of its slot, where it may go on.

    `lanes`, `positions` and `matches` are [B, M]: the next token would be that at `positions`,
    and the `matches` tokens before it are the sequence's own last; 0 is no candidate. Lanes begin
    half way round from the sequence's own, so that siblings break ties differently.
    """

    lanes: Ints
    positions: Ints
    matches: Ints


class SuffixIndex:
    """`num_slots` prompts of `ways` sequences, each of up to `max_tokens` tokens.

    Memory is fixed: 28 to 52 bytes per slot, way and token of `max_tokens`; the system gives it
    when it is first written to.
    """

    def __init__(self, *, num_slots: int, ways: int, max_tokens: int) -> None:
        bits = (CELLS_PER_TOKEN * max_tokens - 1).bit_length()
        self._tokens = np.zeros((num_slots * ways, DEPTH + max_tokens), np.int32)
        self._ends = np.full(num_slots * ways, DEPTH, np.int64)
        self._cells = np.zeros((num_slots, len(GRAMS), 1 << bits, ways), np.int32)

    def empty(self, lanes: Ints) -> None:
        """Takes away the sequences of `lanes` [B]; a lane is emptied before its first one, too."""
        self._tokens[lanes, :DEPTH] = NO_TOKEN
        self._ends[lanes] = DEPTH

    def append(self, lanes: Ints, fresh: Sequence[Sequence[int] | TokenIds]) -> None:
        """Adds the `fresh` tokens of each of the distinct `lanes` [B] to its end.

        O(max(GRAMS)) per token.
        """
        counts = np.fromiter(map(len, fresh), np.int64, len(fresh))
        longest = (self._ends[lanes] + counts).max(initial=0)
        assert longest <= self._tokens.shape[1], "a sequence is too long"
        tokens = np.fromiter(chain.from_iterable(fresh), np.int32, counts.sum())
        append_all(self._tokens, self._ends, self._cells, lanes, counts, tokens)

    def sequence(self, lane: int) -> TokenIds:
        """A copy of the lane's tokens so far [T]."""
        return self._tokens[lane, DEPTH : self._ends[lane]].copy()

    def candidates(self, lanes: Ints) -> Candidates:
        """The latest place in every lane of the slot with the longest n-gram found there.

        O(ways * DEPTH) per sequence.
        """
        others, positions, matches = search(self._tokens, self._ends, self._cells, lanes)
        return Candidates(lanes=others, positions=positions, matches=matches)

    def continuations(self, candidates: Candidates, count: int) -> NDArray[np.int32]:
        """The `count` tokens from every candidate's position on [B, M, count]; then `NO_TOKEN`."""
        positions = candidates.positions[:, :, None] + np.arange(count)
        known = (positions < self._ends[candidates.lanes][:, :, None]) & (
            candidates.matches[:, :, None] > 0
        )
        places = candidates.lanes[:, :, None] * self._tokens.shape[1] + positions
        return np.where(known, self._tokens.take(places, mode="clip"), np.int32(NO_TOKEN))


@njit(cache=True)
def append_all(
    tokens: NDArray[np.int32],
    ends: Ints,
    cells: NDArray[np.int32],
    lanes: Ints,
    counts: Ints,
    fresh: NDArray[np.int32],
) -> None:
    """Writes `counts` [B] of the `fresh` tokens behind each of the `lanes` [B], and their cells."""
    num_cells, ways = cells.shape[2:]
    num_written = 0
    for row in range(len(lanes)):
        lane = lanes[row]
        for token in fresh[num_written : num_written + counts[row]]:
            end = ends[lane]
            for which in range(len(GRAMS)):
                cell = cell_of(tokens[lane], end, GRAMS[which], num_cells)
                cells[lane // ways, which, cell, lane % ways] = end
            tokens[lane, end] = token
            ends[lane] = end + 1
        num_written += counts[row]


@njit(cache=True)
def search(
    tokens: NDArray[np.int32], ends: Ints, cells: NDArray[np.int32], lanes: Ints
) -> tuple[Ints, Ints, Ints]:
    """Lane, position and match of every candidate of the `lanes` [B]; see `Candidates`."""
    num_cells, ways = cells.shape[2:]
    others = np.empty((len(lanes), ways), np.int64)
    positions, matches = np.zeros_like(others), np.zeros_like(others)
    for row in range(len(lanes)):
        own = lanes[row]
        first = own % ways + ways // 2
        for column in range(ways):
            others[row, column] = own // ways * ways + (first + column) % ways
        for which in range(len(GRAMS)):
            found = cells[
                own // ways, which, cell_of(tokens[own], ends[own], GRAMS[which], num_cells)
            ]
            for column in range(ways):
                other = others[row, column]
                place = found[other % ways]
                if DEPTH <= place < ends[other]:
                    match = num_shared(tokens[own], ends[own], tokens[other], place)
                    if match > matches[row, column]:
                        positions[row, column], matches[row, column] = place, match
    return others, positions, matches


@njit(cache=True)
def cell_of(sequence: NDArray[np.int32], end: int, gram: int, num_cells: int) -> np.int64:
    """The cell of the `gram` tokens before `end`, from the upper bits of their hash."""
    total = np.uint64(0)
    for back in range(gram):
        total += np.uint64(sequence[end - 1 - back]) * MULTIPLIERS[back]
    return np.int64((total >> np.uint64(32)) % np.uint64(num_cells))


@njit(cache=True)
def num_shared(one: NDArray[np.int32], end: int, other: NDArray[np.int32], place: int) -> int:
    """How many tokens before `end` of `one` equal those before `place` of `other`, to DEPTH."""
    for back in range(DEPTH):
        if one[end - 1 - back] != other[place - 1 - back]:
            return back
    return DEPTH
