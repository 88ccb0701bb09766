"""The exact joint distribution of the first tokens after a prefix, from the checkpoint itself."""

import asyncio
import itertools
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.engine import Engine, Sampling
from tests.rollout.vllm.exactness import Counts, Probabilities

Tokens = tuple[int, ...]
SMALLEST_MASS = 1e-5
"""Beginnings that are less likely are not followed; they are one cell together."""
IN_FLIGHT = 500
REQUESTS = itertools.count()


class Joint:
    """P(first `depth` tokens | prefix) at a temperature; a cell per text, and one for the rest."""

    def __init__(self, model: Any, prefix: Tokens, depth: int, temperature: float) -> None:
        self._model = model
        self.prefix = prefix
        self.temperature = temperature
        self.depth = depth
        self.next_tokens: dict[Tokens, NDArray[np.float64]] = {}
        """P(next token) [V] after each likely beginning, the empty one among them."""
        self.texts = self._texts()

    @property
    def probabilities(self) -> Probabilities:
        """Of the cells, the rest last; they sum to 1."""
        known = np.array(list(self.texts.values()))
        return np.append(known, max(0.0, 1 - known.sum()))

    def counts(self, completions: Iterable[Tokens]) -> Counts:
        """How many of the completions begin with the text of each cell."""
        index = {text: cell for cell, text in enumerate(self.texts)}
        cells = [index.get(tokens[: self.depth], len(index)) for tokens in completions]
        return np.bincount(cells, minlength=len(index) + 1)

    def drafts(self, most_likely: bool, length: int) -> list[tuple[Tokens, list[int]]]:
        """After each beginning, `length` tokens that the policy likes most, or least."""
        rows = []
        for beginning in self.next_tokens:
            tokens = beginning
            while tokens in self.next_tokens and len(tokens) < len(beginning) + length:
                choice = self.next_tokens[tokens] * (1 if most_likely else -1)
                tokens = (*tokens, int(choice.argmax()))
            rows.append(((*self.prefix, *beginning), list(tokens[len(beginning) :])))
        return rows

    def _texts(self) -> dict[Tokens, float]:
        ended: dict[Tokens, float] = {}
        running: dict[Tokens, float] = {(): 1.0}
        end = self._model.config.eos_token_id
        for _ in range(self.depth):
            longer: dict[Tokens, float] = {}
            for beginning, row in zip(running, self._next(list(running)), strict=True):
                self.next_tokens[beginning] = row
                for token in np.flatnonzero(row * running[beginning] >= SMALLEST_MASS).tolist():
                    target = ended if token == end else longer
                    target[(*beginning, token)] = float(row[token]) * running[beginning]
            running = longer
        return ended | running

    @torch.inference_mode()
    def _next(self, beginnings: list[Tokens]) -> NDArray[np.float64]:
        rows = torch.tensor([[*self.prefix, *beginning] for beginning in beginnings])
        logits = torch.cat([self._model(part).logits[:, -1] for part in rows.split(256)])
        return (logits.double() / self.temperature).softmax(-1).numpy()


def first_tokens(
    loop: BackgroundLoop, engine: Engine, joint: Joint, seeds: range
) -> Iterator[Tokens]:
    """The first tokens of completions of the joint's prefix, a seed each."""
    prompt = Prompt(
        id=f"prefix-{len(joint.prefix)}", messages=(), token_ids=joint.prefix, answer=""
    )

    def sampling(seed: int) -> Sampling:
        name, limit = f"exact-{next(REQUESTS)}", joint.depth + 1
        return Sampling(id=name, limit=limit, temperature=joint.temperature, seed=seed)

    async def together(seeds: range) -> list[Completion]:
        return await asyncio.gather(*(engine.sample(prompt, sampling(seed)) for seed in seeds))

    for start in range(0, len(seeds), IN_FLIGHT):
        for completion in loop.run(together(seeds[start : start + IN_FLIGHT])):
            yield tuple(completion.token_ids.tolist())
