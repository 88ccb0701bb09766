"""Drafters to compare ours with in a replay: the request's own n-grams, and suffix decoding."""

from collections.abc import Sequence

import numpy as np

from data.types import TokenIds


class OwnNgramDrafter:
    """Prompt lookup: what followed the latest earlier place of the request's last `gram` tokens.

    It searches the output alone, as the last step of our own look-up order does.
    """

    def __init__(self, *, max_drafts: int, gram: int = 4) -> None:
        self._max_drafts = max_drafts
        self._gram = gram
        self._outputs: dict[str, list[int]] = {}
        self._latest: dict[str, dict[tuple[int, ...], int]] = {}

    def open(self, request: str, prompt_ids: TokenIds) -> None:
        self._outputs[request] = []
        self._latest[request] = {}

    def propose(self, requests: Sequence[str], fresh: Sequence[Sequence[int]]) -> list[list[int]]:
        return [self._draft(request, new) for request, new in zip(requests, fresh, strict=True)]

    def close(self, request: str) -> None:
        del self._outputs[request], self._latest[request]

    def _draft(self, request: str, fresh: Sequence[int]) -> list[int]:
        output, latest = self._outputs[request], self._latest[request]
        for token in fresh:
            latest[tuple(output[-self._gram :])] = len(output)
            output.append(token)
        place = latest.get(tuple(output[-self._gram :]))
        return [] if place is None else output[place : place + self._max_drafts]


class SuffixTreeDrafter:
    """Suffix decoding (arXiv:2411.04975) with Arctic Inference's trees, as vLLM's `suffix` uses it.

    One tree over the outputs of all requests, one over each request's prompt and output.
    """

    def __init__(
        self, *, max_drafts: int, max_depth: int = 24, min_probability: float = 0.1
    ) -> None:
        from arctic_inference.suffix_decoding import SuffixDecodingCache

        self._max_drafts = max_drafts
        self._max_depth = max_depth
        self._min_probability = min_probability
        self._trees = SuffixDecodingCache(max_depth, 10_000)
        self._tokens: dict[str, TokenIds] = {}

    def open(self, request: str, prompt_ids: TokenIds) -> None:
        self._trees.start_request(request, prompt_ids)
        self._tokens[request] = prompt_ids

    def propose(self, requests: Sequence[str], fresh: Sequence[Sequence[int]]) -> list[list[int]]:
        return [self._draft(request, new) for request, new in zip(requests, fresh, strict=True)]

    def close(self, request: str) -> None:
        self._trees.stop_request(request)
        del self._tokens[request]

    def _draft(self, request: str, fresh: Sequence[int]) -> list[int]:
        self._trees.add_active_response(request, list(fresh))
        new = np.array(fresh, np.int32)
        self._tokens[request] = np.concatenate([self._tokens[request], new])[-self._max_depth :]
        draft = self._trees.speculate(
            request,
            self._tokens[request],
            max_spec_tokens=self._max_drafts,
            min_token_prob=self._min_probability,
        )
        return list(draft.token_ids)
