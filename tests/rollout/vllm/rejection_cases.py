"""Known distributions through vLLM's own verification, and the counts of what it emits.

A case is what one request can ask for: sampling options, the target's logits at each draft position
and behind the last, and drafts. All cases are verified in one batch, request by request in turn, so
that greedy and sampled ones, and ragged numbers of drafts, meet.
"""

from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

VOCABULARY = 8
REQUESTS_PER_CALL = 48_000

Array = NDArray[np.float64]


@dataclass(frozen=True, slots=True, kw_only=True)
class Case:
    """`target` [K + 1, V] is the policy after temperature; `draft` [K, V] the drafts' distribution.

    `known` [K, V] is the part of `draft` that verification is told, None for one-hot drafts.
    """

    target: Array
    draft: Array
    known: Array | None = None
    temperature: float = 1.0
    top_k: int = VOCABULARY
    top_p: float = 1.0

    @property
    def num_drafts(self) -> int:
        return len(self.draft)

    def policy(self) -> Array:
        """What must be emitted at each position that is reached [K + 1, V]."""
        if self.temperature == 0:
            return np.eye(VOCABULARY)[self.target.argmax(axis=1)]
        return np.array([truncated(row, self.top_k, self.top_p) for row in self.target])

    def logits(self) -> Array:
        """The target's logits before temperature [K + 1, V]."""
        return np.log(self.target) * (self.temperature or 1.0)


def truncated(probabilities: Array, top_k: int, top_p: float) -> Array:
    """The top_k largest, then the fewest of these that hold top_p of the mass, renormalised [V]."""
    order = np.argsort(-probabilities)
    kept = probabilities[order[:top_k]] / probabilities[order[:top_k]].sum()
    before = np.cumsum(kept) - kept
    kept = np.where(before < top_p, kept, 0.0)
    result = np.zeros_like(probabilities)
    result[order[:top_k]] = kept / kept.sum()
    return result


def emitted_counts(cases: list[Case], requests_per_case: int, seed: int) -> list[NDArray[np.int64]]:
    """Per case, how often each token was emitted at each position that was reached [K + 1, V].

    The cases have known drafts' distributions, or none of them has.
    """
    torch.manual_seed(seed)
    counts = [np.zeros((case.num_drafts + 1, VOCABULARY), dtype=np.int64) for case in cases]
    left = requests_per_case
    while left:
        size = min(left, max(1, REQUESTS_PER_CALL // len(cases)))
        left -= size
        emitted = verified(cases, size).reshape(size, len(cases), -1)
        for index, table in enumerate(counts):
            for position, row in enumerate(table):
                tokens = emitted[:, index, position]
                row += np.bincount(tokens[tokens >= 0], minlength=VOCABULARY)
    return counts


def without_speculation(cases: list[Case], size: int) -> NDArray[np.int64]:
    """`size` requests of every case, none with drafts, as vLLM samples without speculation."""
    from vllm.v1.sample.sampler import Sampler

    logits = _tiled([case.logits() for case in cases], size)
    sampler = Sampler(logprobs_mode="processed_logprobs")
    return sampler(
        logits=logits, sampling_metadata=_sampling(cases, size)
    ).sampled_token_ids.numpy()


def verified(cases: list[Case], size: int) -> NDArray[np.int64]:
    """`size` requests of every case in one call: the tokens emitted, -1 behind the last.

    Shape [size * cases, longest draft + 1]; the cases alternate.
    """
    from vllm.v1.sample.rejection_sampler import RejectionSampler
    from vllm.v1.sample.sampler import Sampler

    known = None
    if any(case.known is not None for case in cases):
        known = _tiled([case.known for case in cases if case.num_drafts], size)
    logits = _tiled([case.logits() for case in cases], size)
    sampler = RejectionSampler(Sampler(logprobs_mode="processed_logprobs"))
    output = sampler(_metadata(cases, size), known, logits, _sampling(cases, size))
    return output.sampled_token_ids.numpy()


def _metadata(cases: list[Case], size: int) -> Any:
    """Fresh drafts of every request, and where its logits lie: a row per draft and one behind."""
    from vllm.v1.spec_decode.metadata import SpecDecodeMetadata

    drafts = torch.cat([_drawn(case.draft, size) for case in cases], dim=1)
    counts = torch.tensor([case.num_drafts for case in cases]).repeat(size)
    ends = torch.cumsum(counts + 1, dim=0)
    is_bonus = torch.zeros(int(ends[-1]), dtype=torch.bool)
    is_bonus[ends - 1] = True
    return SpecDecodeMetadata(
        draft_token_ids=drafts.flatten().to(torch.int32),
        num_draft_tokens=counts.tolist(),
        cu_num_draft_tokens=torch.cumsum(counts, dim=0).to(torch.int32),
        cu_num_sampled_tokens=ends.to(torch.int32),
        target_logits_indices=torch.nonzero(~is_bonus)[:, 0],
        bonus_logits_indices=ends - 1,
        logits_indices=torch.arange(len(is_bonus)),
    )


def _drawn(distribution: Array, size: int) -> torch.Tensor:
    """`size` drafts [size, K], each position drawn from its own row of `distribution` [K, V]."""
    if not len(distribution):
        return torch.empty((size, 0), dtype=torch.int64)
    return torch.multinomial(torch.from_numpy(distribution), size, replacement=True).T


def _tiled(rows: list[Any], size: int) -> torch.Tensor:
    return torch.from_numpy(np.concatenate(rows)).to(torch.float32).repeat(size, 1)


def _sampling(cases: list[Case], size: int) -> Any:
    """The cases' options as vLLM's batch has them: None for what no request asks for."""
    from vllm.v1.sample.logits_processor import LogitsProcessors
    from vllm.v1.sample.metadata import SamplingMetadata

    none = torch.empty(0)
    top_p, top_k = [case.top_p for case in cases], [case.top_k for case in cases]
    return SamplingMetadata(
        temperature=torch.tensor([case.temperature for case in cases] * size),
        all_greedy=False,
        all_random=all(case.temperature > 0 for case in cases),
        top_p=torch.tensor(top_p * size) if min(top_p) < 1 else None,
        top_k=torch.tensor(top_k * size, dtype=torch.int32) if min(top_k) < VOCABULARY else None,
        generators={},
        max_num_logprobs=None,
        no_penalties=True,
        prompt_token_ids=None,
        frequency_penalties=none,
        presence_penalties=none,
        repetition_penalties=none,
        output_token_ids=[[] for _ in range(size * len(cases))],
        allowed_token_ids_mask=None,
        bad_words_token_ids={},
        logitsprocs=LogitsProcessors(),
    )
