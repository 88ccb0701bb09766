"""Going on with a completion that was cut: by a window, an abort, or the end of a tree's segment.

A continuation is an ordinary request whose prompt ends with the tokens sampled so far, so that the
engine needs no notion of it; the weights may have changed in between, and the spans say so.
"""

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from data.types import Completion, Prompt, SpanKind, TokenIds

Decode = Callable[[TokenIds], str]
"""The text of response tokens, without special tokens."""


def extended(prompt: Prompt, response_ids: TokenIds) -> Prompt:
    """`prompt` with the response's first tokens behind it, under the same id."""
    return replace(prompt, token_ids=np.concatenate([prompt.token_ids, response_ids]))


def joined(begun: Completion, rest: Completion, *, limit: int, decode: Decode) -> Completion:
    """One completion of the tokens of both; id and finish are those of `rest`, `limit` the whole's.

    The text is decoded anew, because a character may be split between the two.
    """
    offset = len(begun.token_ids)
    token_ids = np.concatenate([begun.token_ids, rest.token_ids])
    shifted = (
        replace(span, start=span.start + offset, stop=span.stop + offset) for span in rest.spans
    )
    return Completion(
        id=rest.id,
        text=decode(token_ids),
        token_ids=token_ids,
        logprobs=np.concatenate([begun.logprobs, rest.logprobs]),
        limit=limit,
        finish=rest.finish,
        spans=(*begun.spans, *shifted),
    )


def sampled_since(completion: Completion, version: int) -> NDArray[np.bool_]:
    """Which tokens [T] were sampled by weights `version` or newer.

    With the version of this step these are the tokens that the policy trains on in T-PPO
    (arXiv:2506.15050): earlier windows are context only.
    """
    mask = np.zeros(len(completion.token_ids), np.bool_)
    for span in completion.spans:
        if span.kind is SpanKind.SAMPLED and span.weight_version >= version:
            mask[span.start : span.stop] = True
    return mask
