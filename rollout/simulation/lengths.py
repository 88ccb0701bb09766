"""Response lengths for the simulator: drawn from a lognormal, or recorded ones."""

from collections.abc import Callable
from dataclasses import dataclass
from itertools import count

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True, kw_only=True)
class Lengths:
    """Tokens [P, G] of the completions of P prompts, and per completion what is predicted [P]."""

    tokens: NDArray[np.int64]
    predicted: NDArray[np.float64]


LengthModel = Callable[[np.random.Generator, int, int], Lengths]
"""Draws the lengths of P prompts with G completions each."""


def lognormal(median: float, sigma: float, prompt_sigma: float, limit: int) -> LengthModel:
    """median * exp(prompt_sigma x + sigma y), x and y normal; at least 1 token, cut at `limit`.

    x is the prompt's, y the completion's. Predicted is median * exp(prompt_sigma x), which a
    history of the prompt would tell.
    """

    def draw(rng: np.random.Generator, num_prompts: int, group_size: int) -> Lengths:
        scale = median * np.exp(prompt_sigma * rng.normal(size=num_prompts))
        noise = np.exp(sigma * rng.normal(size=(num_prompts, group_size)))
        tokens = np.clip(np.rint(scale[:, None] * noise), 1, limit).astype(np.int64)
        return Lengths(tokens=tokens, predicted=np.minimum(scale, limit))

    return draw


def recorded(sample: NDArray[np.int64]) -> LengthModel:
    """Lengths [N, K] of K completions of N prompts, drawn again with replacement.

    First the prompt, then its completions. Predicted is the prompt's mean over all K.
    """

    def draw(rng: np.random.Generator, num_prompts: int, group_size: int) -> Lengths:
        rows = rng.integers(len(sample), size=num_prompts)
        columns = rng.integers(sample.shape[1], size=(num_prompts, group_size))
        return Lengths(tokens=sample[rows[:, None], columns], predicted=sample[rows].mean(axis=1))

    return draw


def replayed(sample: NDArray[np.int64]) -> LengthModel:
    """Lengths [N, G] in their order, prompt after prompt, and from the first again at the end."""
    place = count()

    def draw(rng: np.random.Generator, num_prompts: int, group_size: int) -> Lengths:
        assert group_size == sample.shape[1], "recorded groups have their size"
        rows = [next(place) % len(sample) for _ in range(num_prompts)]
        return Lengths(tokens=sample[rows], predicted=sample[rows].mean(axis=1))

    return draw
