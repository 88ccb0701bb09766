"""Our drafter inside vLLM: method `custom_class`, asked after every step of the V1 model runner.

Flow, once per step: what became of the last drafts -> the lengths' rule learns from it -> tokens to
the drafter -> its drafts, where the rule wants any -> as much of each as the rule decides.

vLLM hands over the sampled tokens without request ids or prompt lengths. So the worker shows the
proposer its model runner once, and requests, prompts and outputs are read there: that a request is
preempted, moved to another row or begun again after a weight update then changes nothing.
"""

from collections.abc import Collection, Sequence
from time import perf_counter
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.acceptance_model import Proposal
from rollout.drafting.config import HistoryConfig
from rollout.drafting.controller import Controller, Outcome
from rollout.drafting.drafter import Drafts, HistoryDrafter, no_drafts
from rollout.drafting.fixed_length import FixedLength
from rollout.drafting.goodput import Counts
from rollout.drafting.stopping import trimmed

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class Lengths(Protocol):
    """Decides how much of each row's draft is verified; see `Controller`, the rule by default."""

    def wants_drafts(self, rows: int) -> bool: ...

    def decide(self, proposal: Proposal) -> Counts: ...

    def observe(self, outcome: Outcome) -> float: ...

    def weights_changed(self) -> None: ...


class HistoryProposer:
    """Drafts nothing before `start`."""

    def __init__(self, vllm_config: "VllmConfig") -> None:
        self._max_prompts = vllm_config.scheduler_config.max_num_seqs
        self._max_tokens = vllm_config.model_config.max_model_len
        self._max_drafts = vllm_config.speculative_config.num_speculative_tokens
        end = vllm_config.model_config.hf_config.eos_token_id
        self._end_ids = frozenset(end if isinstance(end, list) else [end])
        self._runner: Any = None
        self.drafter: HistoryDrafter
        self._lengths: Lengths
        self._num_seen: dict[str, int] = {}
        self._num_drafted: dict[str, int] = {}
        self._step_began = self._draft_seconds = 0.0
        self._acceptance = Acceptance()

    def load_model(self, *args: object) -> None:
        """There is no model to load; vLLM's CPU runner asks for this."""

    def start(self, runner: Any, config: HistoryConfig) -> None:
        """Drafts for the requests of vLLM's model runner from now on."""
        self.drafter = HistoryDrafter(
            config,
            max_prompts=self._max_prompts,
            max_tokens=self._max_tokens,
            max_drafts=self._max_drafts,
        )
        fixed = config.draft_length
        self._lengths = FixedLength(fixed) if fixed else Controller(self._max_drafts)
        self._runner = runner

    def new_weights(self, version: int) -> None:
        """From now on tokens are sampled by the weights of `version`.

        Nothing is learned from the step that follows: what it was drafted for has changed, and its
        time holds the pause.
        """
        self.drafter.new_weights(version)
        self._lengths.weights_changed()
        self._num_drafted = {}

    def take_acceptance(self) -> Acceptance:
        """What was accepted since the last call; a preempted request's last draft is not."""
        taken, self._acceptance = self._acceptance, Acceptance()
        taken.stored_tokens = self.drafter.history.num_tokens
        return taken

    def propose(
        self,
        sampled_token_ids: list[list[int]],
        num_tokens_no_spec: np.ndarray[Any, Any],
        token_ids_cpu: np.ndarray[Any, Any],
        slot_mappings: object = None,
    ) -> list[list[int]]:
        """The drafts of every row of the batch; none where the prompt is not read to its end."""
        drafts: list[list[int]] = [[] for _ in sampled_token_ids]
        if self._runner is None:
            return drafts
        now = perf_counter()
        rows = [row for row, sampled in enumerate(sampled_token_ids) if sampled]
        requests = [self._runner.input_batch.req_ids[row] for row in rows]
        self._observe(requests, [sampled_token_ids[row] for row in rows], now)
        # All but drafting is part of the next step: learning from this one, and deciding.
        self._step_began = now
        self._close_ended()
        fresh = [self._fresh(request) for request in requests]
        self.drafter.add(requests, fresh)
        # A request that has ended is still in the batch.
        going = [index for index, tokens in enumerate(fresh) if tokens[-1] not in self._end_ids]
        proposed = self._decided([requests[index] for index in going])
        for index, draft in zip(going, proposed, strict=True):
            drafts[rows[index]] = draft
        return drafts

    def _observe(
        self, requests: Sequence[str], sampled: Sequence[Sequence[int]], now: float
    ) -> None:
        """Counts what was accepted of the drafts of the last step, and learns from it.

        The last token that a request samples in a step is the policy's own.
        """
        if not (self._num_drafted and requests):
            return
        accepted = {
            request: len(tokens) - 1 for request, tokens in zip(requests, sampled, strict=True)
        }
        verified = [request for request in self._num_drafted if request in accepted]
        for request in verified:
            self._acceptance.count(self._num_drafted[request], accepted[request])
        num_decoded = sum(1 + self._num_drafted[request] for request in verified)
        outcome = Outcome(
            accepted=np.array([accepted.get(request, -1) for request in self._num_drafted]),
            seconds=now - self._step_began - self._draft_seconds,
            prompt_tokens=self._num_scheduled() - num_decoded,
        )
        self._acceptance.expected += self._lengths.observe(outcome)

    def _decided(self, requests: Sequence[str]) -> list[list[int]]:
        """The drafts of the requests that decode in the next step, of the decided lengths."""
        self._num_drafted = {}
        if not requests:
            return []
        began = perf_counter()
        wanted = self._lengths.wants_drafts(len(requests))
        drafts = self.drafter.draft(requests) if wanted else no_drafts(len(requests))
        self._draft_seconds = perf_counter() - began
        self._acceptance.draft_seconds += self._draft_seconds
        kept = self._lengths.decide(proposal_of(drafts, self._draft_seconds))
        self._num_drafted = dict(zip(requests, kept.tolist(), strict=True))
        return trimmed(drafts.tokens, kept)

    def _num_scheduled(self) -> int:
        """Tokens of the step that is over, those of prompts included."""
        ends = self._runner.query_start_loc.np
        return int(ends[len(self._runner.input_batch.req_ids)])

    def _close_ended(self) -> None:
        """In the order in which they began, so that a run repeats its history."""
        for request in list(self._num_seen):
            if request not in self._runner.requests:
                del self._num_seen[request]
                self.drafter.close(request)

    def _fresh(self, request: str) -> Sequence[int]:
        """The request's tokens since the last step; a new request is opened."""
        state = self._runner.requests[request]
        if request not in self._num_seen:
            self.drafter.open(request, np.array(state.prompt_token_ids, np.int32))
            self._num_seen[request] = 0
        fresh = state.output_token_ids[self._num_seen[request] :]
        self._num_seen[request] += len(fresh)
        return up_to_end(fresh, self._end_ids)


def proposal_of(drafts: Drafts, draft_seconds: float) -> Proposal:
    """What the rule of the lengths is told of `drafts`."""
    return Proposal(
        lengths=np.array([len(draft) for draft in drafts.tokens]),
        probabilities=drafts.shares,
        match_lengths=drafts.match_lengths,
        ages=drafts.ages.astype(np.float64),
        draft_seconds=draft_seconds,
    )


def up_to_end(tokens: Sequence[int], end_ids: Collection[int]) -> Sequence[int]:
    """The tokens to the first end of sequence, which stays.

    A draft can be accepted beyond it; vLLM drops what follows after it has asked for drafts.
    """
    ends = (index for index, token in enumerate(tokens) if token in end_ids)
    return tokens[: next(ends, len(tokens)) + 1]
