"""Where the last tokens of a sequence stood before, in the sequences of the same prompt.

Every prompt has a slot of `ways` lanes, one sequence each, so that a lane is slot * ways + way:

    tokens [lane, position]     DEPTH times nothing, then the sequence: prompt and output
    cells  [slot, hash, way]    the latest position that follows an n-gram, for each length n

A lookup reads one row of cells per n and compares the DEPTH tokens before each position found with
the sequence's own last tokens. So a hash collision costs a candidate and never makes a wrong one,
and what an earlier owner of a lane left behind needs no clearing.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import chain

import numpy as np
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
        self._ways = ways
        self._width = DEPTH + max_tokens
        self._bits = (CELLS_PER_TOKEN * max_tokens - 1).bit_length()
        self._tokens = np.zeros(num_slots * ways * self._width, np.int32)
        self._ends = np.full(num_slots * ways, DEPTH, np.int64)
        self._cells = {
            gram: np.zeros((num_slots, 1 << self._bits, ways), np.int32) for gram in GRAMS
        }

    def empty(self, lanes: Ints) -> None:
        """Takes away the sequences of `lanes` [B]; a lane is emptied before its first one, too."""
        self._tokens.reshape(-1, self._width)[lanes, :DEPTH] = NO_TOKEN
        self._ends[lanes] = DEPTH

    def append(self, lanes: Ints, fresh: Sequence[Sequence[int] | TokenIds]) -> None:
        """Adds the `fresh` tokens of each of the distinct `lanes` [B] to its end.

        O(max(GRAMS)) per token, all lanes in one pass.
        """
        counts = np.fromiter(map(len, fresh), np.int64, len(fresh))
        firsts = np.cumsum(counts) - counts
        owners = np.repeat(lanes, counts)
        positions = self._ends[owners] + np.arange(len(owners)) - np.repeat(firsts, counts)
        assert not len(positions) or positions.max() < self._width, "a sequence is too long"
        tokens = np.fromiter(chain.from_iterable(fresh), np.int32, len(owners))
        self._tokens[owners * self._width + positions] = tokens
        self._ends[lanes] += counts
        slots, ways = np.divmod(owners, self._ways)
        for gram, cells in self._cells.items():
            # Positions ascend within a lane, and of equal indices NumPy writes the last.
            cells[slots, self._hashes(gram, owners, positions), ways] = positions

    def sequence(self, lane: int) -> TokenIds:
        """A copy of the lane's tokens so far [T]."""
        start = lane * self._width
        return self._tokens[start + DEPTH : start + self._ends[lane]].copy()

    def candidates(self, lanes: Ints) -> Candidates:
        """The latest place in every lane of the slot with the longest n-gram found there.

        O(ways * DEPTH) per sequence, all sequences in one pass.
        """
        own_slots, own_ways = np.divmod(lanes, self._ways)
        first = own_ways[:, None] + self._ways // 2
        ways = (first + np.arange(self._ways)) % self._ways
        others = own_slots[:, None] * self._ways + ways
        positions, matches = np.zeros_like(others), np.zeros_like(others)
        for gram, cells in self._cells.items():
            hashes = self._hashes(gram, lanes, self._ends[lanes])
            found = cells[own_slots[:, None], hashes[:, None], ways].astype(np.int64)
            lengths = self._matches(lanes, others, found)
            positions = np.where(lengths > matches, found, positions)
            matches = np.maximum(lengths, matches)
        return Candidates(lanes=others, positions=positions, matches=matches)

    def continuations(self, candidates: Candidates, count: int) -> NDArray[np.int32]:
        """The `count` tokens from every candidate's position on [B, M, count]; then `NO_TOKEN`."""
        positions = candidates.positions[:, :, None] + np.arange(count)
        known = (positions < self._ends[candidates.lanes][:, :, None]) & (
            candidates.matches[:, :, None] > 0
        )
        places = candidates.lanes[:, :, None] * self._width + positions
        return np.where(known, self._tokens.take(places, mode="clip"), np.int32(NO_TOKEN))

    def _matches(self, lanes: Ints, others: Ints, found: Ints) -> Ints:
        """How many tokens before `found` [B, M] are the lanes' own last, at most DEPTH; or 0."""
        own = self._before(lanes, self._ends[lanes], DEPTH)
        rows, columns = np.nonzero((found >= DEPTH) & (found < self._ends[others]))
        before = self._before(others[rows, columns], found[rows, columns], DEPTH)
        same = before == own[rows]
        lengths = np.zeros_like(found)
        lengths[rows, columns] = np.where(same.all(1), DEPTH, same.argmin(1))
        return lengths

    def _hashes(self, gram: int, lanes: Ints, positions: Ints) -> Ints:
        """The cell [N] of the `gram` tokens before each position: the top bits of their hash."""
        windows = self._before(lanes, positions, gram).astype(np.uint64)
        sums = (windows * MULTIPLIERS[:gram]).sum(1)
        return np.asarray(sums >> np.uint64(64 - self._bits), np.int64)

    def _before(self, lanes: Ints, positions: Ints, count: int) -> NDArray[np.int32]:
        """The `count` tokens before each position, nearest first [N, count]."""
        places = lanes * self._width + positions
        return self._tokens[places[:, None] - np.arange(1, count + 1)]
