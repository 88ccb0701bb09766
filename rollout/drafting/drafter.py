"""Drafts for running requests from the outputs of their prompt: siblings, earlier epochs, own.

    open(request, prompt) -> add(fresh tokens), draft(...) of all running ... -> close(request)

Opening the first request of a prompt loads its history into the index, the running requests add to
it token by token, and closing one keeps its output. Verified one-hot, drafts change the speed of
sampling and never its distribution, whatever the history is.
"""

from collections import deque
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from data.types import TokenIds
from rollout.drafting.config import HistoryConfig
from rollout.drafting.history import History, Output, prefix_keys
from rollout.drafting.suffix_index import Ints, SuffixIndex
from rollout.drafting.walk import Floats, age_weights, walk

DRAFT_PER_MATCH = 2
"""A match of n tokens drafts at most this times n: a short one is often chance.

Suffix decoding has 1. On recorded answers of the short lab 2 gave longer accepted drafts for
nearly the same share of accepted tokens.
"""

NEVER = np.iinfo(np.int64).max
"""Weight versions since something was sampled that never was."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RunningPrompt:
    """A prompt with running requests: its slot of the index, and the ways that none of them has.

    The ways stand in the order in which they are given away: empty ones, then the oldest outputs.
    """

    key: int
    num_tokens: int
    slot: int
    idle_ways: deque[int]


@dataclass(frozen=True, slots=True, kw_only=True)
class Drafts:
    """What B requests are to sample next, perhaps nothing, and what it was guessed from.

    `shares` [slots], row after row, is the drafted token's share of the votes. Per row,
    `match_lengths` [B] counts the tokens that the voters have in common with the request, and
    `ages` [B] the weight versions since the newest voter was sampled; a row without voters has 0.
    """

    tokens: list[list[int]]
    shares: Floats
    match_lengths: Ints
    ages: Ints


def no_drafts(num_rows: int) -> Drafts:
    """Of as many requests, none drafted for."""
    zeros = np.zeros(num_rows, np.int64)
    return Drafts(
        tokens=[[] for _ in range(num_rows)], shares=np.zeros(0), match_lengths=zeros, ages=zeros
    )


class HistoryDrafter:
    """At most `max_drafts` tokens at once for requests of `max_prompts` different prompts.

    `max_tokens` bounds a prompt with its output. A request without a free lane drafts nothing.
    """

    def __init__(
        self, config: HistoryConfig, *, max_prompts: int, max_tokens: int, max_drafts: int
    ) -> None:
        self._ways = config.outputs_per_prompt
        self._min_probability = config.min_probability
        self._max_tokens = max_tokens
        self._max_drafts = max_drafts
        self.history = History(
            outputs_per_prompt=config.outputs_per_prompt, max_tokens=config.max_tokens
        )
        self._index = SuffixIndex(num_slots=max_prompts, ways=self._ways, max_tokens=max_tokens)
        self._versions = np.zeros(max_prompts * self._ways, np.int64)
        self._version = 0
        # The slot that was left last is taken first: the others' memory is never asked for.
        self._free_slots = list(range(max_prompts))
        self._prompts: dict[int, RunningPrompt] = {}
        self._requests: dict[str, tuple[RunningPrompt, int]] = {}

    def new_weights(self, version: int) -> None:
        """From now on tokens are sampled by the weights of `version`: what is older counts less."""
        self._version = version

    def open(self, request: str, prompt_ids: TokenIds) -> None:
        """A new request with the prompt `prompt_ids` [P_tokens].

        When it begins with a known prompt it is a cut completion that goes on, and what follows
        counts as its output so far. O(P_tokens), and O(outputs) for the first of its prompt.
        """
        key, length = self._known_prefix(prompt_ids)
        prompt = self._prompts.get(key) or self._entered(key, prompt_ids[:length])
        if prompt is None or not prompt.idle_ways:
            return
        lane = prompt.slot * self._ways + prompt.idle_ways.popleft()
        self._requests[request] = prompt, lane
        self._fill(np.array([lane]), [prompt_ids], [self._version])

    def propose(self, requests: Sequence[str], fresh: Sequence[Sequence[int]]) -> list[list[int]]:
        """The drafts of each request, possibly none, after its `fresh` tokens were sampled."""
        self.add(requests, fresh)
        return self.draft(requests).tokens

    def add(self, requests: Sequence[str], fresh: Sequence[Sequence[int]]) -> None:
        """The requests sampled their `fresh` tokens."""
        rows = [row for row, request in enumerate(requests) if request in self._requests]
        lanes = self._lanes(requests, rows)
        self._index.append(lanes, [fresh[row] for row in rows])
        self._versions[lanes] = self._version

    def draft(self, requests: Sequence[str]) -> Drafts:
        """What each request is to sample next, by the votes of all lanes of the longest match."""
        rows = [row for row, request in enumerate(requests) if request in self._requests]
        candidates = self._index.candidates(self._lanes(requests, rows))
        longest = candidates.matches.max(1, initial=0)
        votes = (candidates.matches == longest[:, None]) & (candidates.matches > 0)
        versions_ago = self._version - self._versions[candidates.lanes]
        drafted, shares = walk(
            self._index.continuations(candidates, self._max_drafts),
            votes * age_weights(versions_ago),
            DRAFT_PER_MATCH * longest,
            self._min_probability,
        )
        tokens: list[list[int]] = [[] for _ in requests]
        match_lengths, ages = np.zeros((2, len(requests)), np.int64)
        for row, draft in zip(rows, drafted, strict=True):
            tokens[row] = draft
        match_lengths[rows] = longest
        newest = np.where(votes, versions_ago, NEVER).min(1, initial=NEVER)
        ages[rows] = np.where(votes.any(1), newest, 0)
        return Drafts(tokens=tokens, shares=shares, match_lengths=match_lengths, ages=ages)

    def close(self, request: str) -> None:
        """The request has ended: its output becomes history. An unknown one is ignored."""
        if request not in self._requests:
            return
        prompt, lane = self._requests.pop(request)
        self._keep(prompt, lane)
        prompt.idle_ways.append(lane % self._ways)
        if len(prompt.idle_ways) == self._ways:
            del self._prompts[prompt.key]
            self._free_slots.append(prompt.slot)

    def _lanes(self, requests: Sequence[str], rows: Sequence[int]) -> Ints:
        return np.array([self._requests[requests[row]][1] for row in rows], np.int64)

    def _known_prefix(self, prompt_ids: TokenIds) -> tuple[int, int]:
        """Key and length of the longest prefix that is a known prompt, or of the whole."""
        keys = prefix_keys(prompt_ids).tolist()
        for length in range(len(keys), 0, -1):
            if keys[length - 1] in self._prompts or keys[length - 1] in self.history:
                return keys[length - 1], length
        return keys[-1], len(keys)

    def _entered(self, key: int, prompt_ids: TokenIds) -> RunningPrompt | None:
        """The prompt with its history in a slot of the index; None when all slots are taken."""
        if not self._free_slots:
            return None
        outputs = self.history.outputs(key)
        used, unused = range(len(outputs)), range(len(outputs), self._ways)
        slot = self._free_slots.pop()
        lanes = slot * self._ways + np.arange(self._ways)
        # An earlier prompt's sequences must not be found.
        self._index.empty(lanes)
        self._fill(
            lanes[: len(outputs)],
            [np.concatenate([prompt_ids, o.token_ids])[: self._max_tokens] for o in outputs],
            [output.weight_version for output in outputs],
        )
        prompt = RunningPrompt(
            key=key, num_tokens=len(prompt_ids), slot=slot, idle_ways=deque([*unused, *used])
        )
        self._prompts[key] = prompt
        return prompt

    def _fill(self, lanes: Ints, sequences: Sequence[TokenIds], versions: Sequence[int]) -> None:
        self._index.empty(lanes)
        self._index.append(lanes, sequences)
        self._versions[lanes] = versions

    def _keep(self, prompt: RunningPrompt, lane: int) -> None:
        token_ids = self._index.sequence(lane)[prompt.num_tokens :]
        if len(token_ids):
            version = int(self._versions[lane])
            self.history.add(prompt.key, Output(token_ids=token_ids, weight_version=version))
