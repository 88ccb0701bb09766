"""Our drafter inside vLLM: method `custom_class`, asked after every step of the V1 model runner.

vLLM hands over the sampled tokens without request ids or prompt lengths. So the worker shows the
proposer its model runner once, and requests, prompts and outputs are read there: that a request is
preempted, moved to another row or begun again after a weight update then changes nothing.
"""

from collections.abc import Collection, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from rollout.drafting.acceptance import Acceptance
from rollout.drafting.config import HistoryConfig
from rollout.drafting.drafter import HistoryDrafter

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class HistoryProposer:
    """Drafts nothing before `start`."""

    def __init__(self, vllm_config: "VllmConfig") -> None:
        self._sizes = {
            "max_prompts": vllm_config.scheduler_config.max_num_seqs,
            "max_tokens": vllm_config.model_config.max_model_len,
            "max_drafts": vllm_config.speculative_config.num_speculative_tokens,
        }
        end = vllm_config.model_config.hf_config.eos_token_id
        self._end_ids = frozenset(end if isinstance(end, list) else [end])
        self._runner: Any = None
        self._drafter: HistoryDrafter
        self._num_seen: dict[str, int] = {}
        self._num_drafted: dict[str, int] = {}
        self._acceptance = Acceptance()

    def load_model(self, *args: object) -> None:
        """There is no model to load; vLLM's CPU runner asks for this."""

    def start(self, runner: Any, config: HistoryConfig) -> None:
        """Drafts for the requests of vLLM's model runner from now on."""
        self._drafter = HistoryDrafter(config, **self._sizes)
        self._runner = runner

    def new_weights(self, version: int) -> None:
        """See `HistoryDrafter.new_weights`."""
        self._drafter.new_weights(version)

    def state(self) -> dict[str, Any]:
        """See `HistoryDrafter.state`; what still runs is opened again, whole, at its next step."""
        self._num_seen.clear()
        self._num_drafted.clear()
        return self._drafter.state()

    def load(self, state: dict[str, Any]) -> None:
        """See `HistoryDrafter.load`."""
        self._drafter.load(state)

    def take_acceptance(self) -> Acceptance:
        """What was accepted since the last call; a preempted request's last draft is not."""
        taken, self._acceptance = self._acceptance, Acceptance()
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
        self._close_ended()
        rows = [row for row, sampled in enumerate(sampled_token_ids) if sampled]
        requests = [self._runner.input_batch.req_ids[row] for row in rows]
        fresh = [self._fresh(request) for request in requests]
        proposed = self._drafter.propose(requests, fresh)
        for row, request, draft in zip(rows, requests, proposed, strict=True):
            if request in self._num_drafted:
                # The last token of a step is the policy's own.
                accepted = len(sampled_token_ids[row]) - 1
                self._acceptance.count(self._num_drafted[request], accepted)
            self._num_drafted[request] = len(draft)
            drafts[row] = draft
        return drafts

    def _close_ended(self) -> None:
        """In the order in which they began, so that a run repeats its history."""
        for request in list(self._num_seen):
            if request not in self._runner.requests:
                del self._num_seen[request], self._num_drafted[request]
                self._drafter.close(request)

    def _fresh(self, request: str) -> Sequence[int]:
        """The request's tokens since the last step; a new request is opened."""
        state = self._runner.requests[request]
        if request not in self._num_seen:
            self._drafter.open(request, np.array(state.prompt_token_ids, np.int32))
            self._num_seen[request] = 0
        fresh = state.output_token_ids[self._num_seen[request] :]
        self._num_seen[request] += len(fresh)
        return up_to_end(fresh, self._end_ids)


def up_to_end(tokens: Sequence[int], end_ids: Collection[int]) -> Sequence[int]:
    """The tokens to the first end of sequence, which stays.

    A draft can be accepted beyond it; vLLM drops what follows after it has asked for drafts.
    """
    ends = (index for index, token in enumerate(tokens) if token in end_ids)
    return tokens[: next(ends, len(tokens)) + 1]
