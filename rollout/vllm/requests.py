"""A request in vLLM's words, and its answer in ours."""

from typing import TYPE_CHECKING, Any

import numpy as np

from data.types import Completion, Finish, Span
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineError, Sampling

if TYPE_CHECKING:
    from vllm import SamplingParams
    from vllm.outputs import CompletionOutput

FINISHES = {
    "stop": Finish.STOP,
    "length": Finish.LIMIT,
    "repetition": Finish.REPETITION,
    "abort": Finish.ABORTED,
}


def sampling_parameters(sampling: Sampling) -> "SamplingParams":
    """vLLM's parameters of one request: the sampled token's log-prob only, one final output."""
    from vllm import SamplingParams
    from vllm.sampling_params import RequestOutputKind

    return SamplingParams(
        max_tokens=sampling.limit,
        temperature=sampling.temperature,
        top_p=sampling.top_p,
        seed=sampling.seed,
        logprobs=0,
        flat_logprobs=True,
        output_kind=RequestOutputKind.FINAL_ONLY,
        skip_clone=True,
    )


def completion_of(output: "CompletionOutput", sampling: Sampling, version: int) -> Completion:
    """The completion in vLLM's final output; `version` names the weights of one without tokens.

    Raises `EngineError` for an end that we do not know.
    """
    finish = FINISHES.get(output.finish_reason or "")
    if finish is None:
        raise EngineError(
            f"vLLM ended request {sampling.id} with finish_reason={output.finish_reason}"
        )
    logprobs: Any = output.logprobs
    return Completion(
        id=sampling.id,
        text=output.text,
        token_ids=np.asarray(output.token_ids, dtype=np.int32),
        logprobs=np.asarray(logprobs.logprobs, dtype=np.float32),
        limit=sampling.limit,
        finish=finish,
        spans=_spans(output, version),
    )


def acceptance_of(output: "CompletionOutput") -> Acceptance:
    """What became of the drafts of a request, where the engine was told to keep count of them.

    Steps without a draft are not among its verifications.
    """
    found, kept = Acceptance(), output.spec_decode_metrics
    if kept is not None:
        for drafted, accepted in zip(kept.per_step_drafted, kept.per_step_accepted, strict=True):
            found.count(drafted, accepted)
    return found


def _spans(output: "CompletionOutput", version: int) -> tuple[Span, ...]:
    """vLLM's own record of which weights sampled which tokens; a request that was aborted before
    its first token gets one empty span of the current version."""
    recorded = [span for span in output.weight_versions or () if span.end > span.start]
    if not recorded:
        assert not output.token_ids, "vLLM labels every sampled token with a weight version"
        return (Span(start=0, stop=0, weight_version=version),)
    return tuple(
        Span(start=span.start, stop=span.end, weight_version=int(span.version)) for span in recorded
    )
