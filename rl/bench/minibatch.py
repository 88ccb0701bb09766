"""The minibatch that both contenders of `rl.bench.learner` train on.

Response lengths are equal, or spread as reasoning models spread them: log-normal, a fifth of the
responses beyond three times the median, which is what the lab is accepted by.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from math import exp, log
from pathlib import Path
from statistics import NormalDist
from typing import Any

import numpy as np
from numpy.typing import NDArray

NORMAL = NormalDist()
SIGMA = log(3) / NORMAL.inv_cdf(0.8)
"""P(length > 3 medians) = 0.2 for a log-normal length of this deviation: 1.305."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What both contenders are given; `max_tokens` is a forward pass's, padding included."""

    model: str
    lengths: tuple[int, ...]
    prompt_tokens: int
    group_size: int
    vocabulary: int
    max_tokens: int
    learning_rate: float
    threads: int
    updates: int
    output: str

    @property
    def num_tokens(self) -> int:
        """Prompt and response tokens, without padding."""
        return sum(self.lengths) + len(self.lengths) * self.prompt_tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Minibatch:
    """Rows of a prompt, a response and one advantage; rows of a group follow each other."""

    prompts: NDArray[np.int64]
    responses: Sequence[NDArray[np.int64]]
    advantages: NDArray[np.float32]


def natural_lengths(longest: int, count: int) -> tuple[int, ...]:
    """L exp(sigma (z_i - z_count)), z_i the normal quantile of (i - 1/2) / count, i = 1 ... count.

    Ascending, from 1 token at least to `longest`.
    """
    quantiles = [NORMAL.inv_cdf((index + 0.5) / count) for index in range(count)]
    return tuple(max(1, round(longest * exp(SIGMA * (z - quantiles[-1])))) for z in quantiles)


def fixed_lengths(longest: int, count: int) -> tuple[int, ...]:
    """All of them `longest`."""
    return (longest,) * count


def make_minibatch(setting: Setting) -> Minibatch:
    """Random tokens but the padding token 0, and advantages that sum to 0 over a group."""
    random = np.random.default_rng(0)
    count = len(setting.lengths)
    lengths = random.permutation(setting.lengths)
    advantages = random.normal(size=(count // setting.group_size, setting.group_size))
    advantages -= advantages.mean(axis=1, keepdims=True)
    return Minibatch(
        prompts=random.integers(2, setting.vocabulary, (count, setting.prompt_tokens)),
        responses=[random.integers(2, setting.vocabulary, length) for length in lengths],
        advantages=advantages.flatten().astype(np.float32),
    )


def rows_at_once(setting: Setting) -> int:
    """Rows of one forward pass: the most, of equal parts, that fit at the longest row's length."""
    count = len(setting.lengths)
    longest = setting.prompt_tokens + max(setting.lengths)
    fitting = [
        n for n in range(1, count + 1) if count % n == 0 and n * longest <= setting.max_tokens
    ]
    return max(fitting, default=1)


def write_outcome(setting: Setting, **outcome: Any) -> None:
    """One line of JSON in `setting.output`."""
    Path(setting.output).write_text(json.dumps(outcome) + "\n")
