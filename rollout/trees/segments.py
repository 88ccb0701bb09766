"""What a tree is made of: segments, the paths that run through them, and the leaves they end in.

A segment is what the engine samples in one go. In the spans of a leaf's completion, `parent` names
the segment that a span's own segment continues. So a completion tells its segments by itself, and
two leaves share a segment iff both continue it; the last segment of a leaf is its own.
"""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

from data.types import Completion, Finish, LogProbs, Span, TokenIds
from rollout.continuation import Decode
from rollout.engine import Sampling


@dataclass(frozen=True, slots=True, kw_only=True)
class Segment:
    """A sampled piece of a response; `id` is that of its request and unique in a run."""

    id: str
    completion: Completion


Segments = tuple[Segment, ...]
"""From the prompt on, each continuing the one before."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Path:
    """A response in the making: the segments that have ended, and what it may still become.

    `leaves` is the number of completions that are to end under it, 1 or more. At the end of its
    running segment it goes on as `branches` paths, or as `leaves` if these are fewer.
    """

    segments: Segments
    leaves: int
    branches: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaf:
    """A response that has ended."""

    segments: Segments
    finish: Finish


def token_ids(segments: Segments) -> TokenIds:
    """The tokens of all segments [T]."""
    return np.concatenate([np.empty(0, np.int32), *(s.completion.token_ids for s in segments)])


def logprobs(segments: Segments) -> LogProbs:
    """The log-probs of all segments' tokens [T]."""
    return np.concatenate([np.empty(0, np.float32), *(s.completion.logprobs for s in segments)])


def num_tokens(segments: Segments) -> int:
    return sum(len(segment.completion.token_ids) for segment in segments)


def leaf_completion(leaf: Leaf, sampling: Sampling, decode: Decode) -> Completion:
    """The whole response, as if `sampling` had been one request; the text is decoded anew."""
    whole = token_ids(leaf.segments)
    return Completion(
        id=sampling.id,
        text=decode(whole),
        token_ids=whole,
        logprobs=logprobs(leaf.segments),
        limit=sampling.limit,
        finish=leaf.finish,
        spans=spans(leaf.segments),
    )


def spans(segments: Segments) -> tuple[Span, ...]:
    """Every weight version of every segment is a span; its parent is the segment before."""
    found: list[Span] = []
    offset, parent = 0, None
    for segment in segments:
        found += (
            replace(span, start=span.start + offset, stop=span.stop + offset, parent=parent)
            for span in segment.completion.spans
        )
        offset, parent = offset + len(segment.completion.token_ids), segment.id
    return tuple(found)


def segment_lengths(completion: Completion) -> dict[str, int]:
    """Ids of a completion's segments, first to last, to their tokens.

    The last one, which no other leaf has, goes by the completion's own id. A completion that was
    sampled in one go is one segment.
    """
    lengths: Counter[str | None] = Counter()
    for span in completion.spans:
        lengths[span.parent] += span.stop - span.start
    names = [*(parent for parent in lengths if parent is not None), completion.id]
    return dict(zip(names, lengths.values(), strict=True))


def segment_ids(completions: Sequence[Completion]) -> list[list[str]]:
    """The ids of each completion's segments [G][depth], as `segment_lengths` names them."""
    return [list(segment_lengths(completion)) for completion in completions]
