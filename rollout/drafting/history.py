"""What the prompts of a run were answered with: the last outputs of each, bounded, by prompt key.

A prompt's key is a hash of its tokens, because an engine knows prompts by nothing else.
"""

from collections import OrderedDict, deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from data.types import TokenIds, read_only

MULTIPLIER = 0x9E3779B97F4A7C15
"""Odd, its bits without a pattern: 2^64 over the golden ratio."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Output:
    """Response tokens [T], and the version of the weights that sampled the last of them."""

    token_ids: TokenIds
    weight_version: int

    def __post_init__(self) -> None:
        object.__setattr__(self, "token_ids", read_only(self.token_ids, np.int32))


class History:
    """At most `outputs_per_prompt` outputs of each prompt and `max_tokens` tokens in all.

    Beyond these the prompt's oldest output goes, and the prompts answered longest ago go whole;
    the prompt that was answered last always stays.
    """

    def __init__(self, *, outputs_per_prompt: int, max_tokens: int) -> None:
        self._outputs_per_prompt = outputs_per_prompt
        self._max_tokens = max_tokens
        self._num_tokens = 0
        self._prompts: OrderedDict[int, deque[Output]] = OrderedDict()

    @property
    def num_tokens(self) -> int:
        """Tokens held, over all prompts."""
        return self._num_tokens

    def __contains__(self, key: int) -> bool:
        return key in self._prompts

    def outputs(self, key: int) -> tuple[Output, ...]:
        """The prompt's outputs, oldest first; none when it is not known."""
        return tuple(self._prompts.get(key, ()))

    def add(self, key: int, output: Output) -> None:
        """Keeps `output` as the newest of the prompt. O(1), and O(outputs) per prompt forgotten."""
        outputs = self._prompts.setdefault(key, deque())
        outputs.append(output)
        self._num_tokens += len(output.token_ids)
        if len(outputs) > self._outputs_per_prompt:
            self._num_tokens -= len(outputs.popleft().token_ids)
        self._prompts.move_to_end(key)
        while self._num_tokens > self._max_tokens and len(self._prompts) > 1:
            _, forgotten = self._prompts.popitem(last=False)
            self._num_tokens -= sum(len(output.token_ids) for output in forgotten)


def prefix_keys(token_ids: TokenIds) -> NDArray[np.uint64]:
    """The key of every prefix [T]: that of `token_ids[:n]` at n - 1, that of the whole at the end.

    A polynomial hash modulo 2^64. Two prompts of one key would share their drafts, which costs
    speed and nothing else.
    """
    powers = np.cumprod(np.full(len(token_ids), MULTIPLIER, np.uint64))
    return np.cumsum((token_ids.astype(np.uint64) + np.uint64(1)) * powers)
