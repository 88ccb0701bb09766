"""Endless shuffled epochs over the training prompts, with exact resume."""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Any

import numpy as np
from numpy.typing import NDArray

from data.types import Prompt


class PromptSampler:
    """Draws prompts in a new random order every epoch.

    The order of epoch e is a function of (seed, e) alone, so that the state is three numbers and a
    resumed run draws what the uninterrupted one would have drawn.
    """

    def __init__(self, prompts: Sequence[Prompt], seed: int) -> None:
        if not prompts:
            raise ValueError("there are no prompts to draw from: check data.path and data.split")
        self._prompts = prompts
        self._seed = seed
        self._epoch = 0
        self._position = 0
        self._order = self._shuffled()
        self._given_back: list[str] = []

    @property
    def epoch(self) -> float:
        """Passes over the data so far, the running one in part."""
        return self._epoch + self._position / len(self._prompts)

    def draw(self, num_prompts: int) -> list[Prompt]:
        """The next `num_prompts`; a draw may end one epoch and begin the next."""
        again, self._given_back = self._given_back[:num_prompts], self._given_back[num_prompts:]
        by_id = {prompt.id: prompt for prompt in self._prompts} if again else {}
        drawn = [by_id[prompt_id] for prompt_id in again]
        for _ in range(num_prompts - len(drawn)):
            if self._position == len(self._prompts):
                self._epoch, self._position = self._epoch + 1, 0
                self._order = self._shuffled()
            drawn.append(self._prompts[self._order[self._position]])
            self._position += 1
        return drawn

    def state(self, given_back: Sequence[str] = ()) -> dict[str, Any]:
        """Where the sampler stands, and on which data; JSON-able.

        Whoever loads it draws the prompts with the ids `given_back` again, before all others.
        """
        return {
            "given_back": [*given_back, *self._given_back],
            "seed": self._seed,
            "epoch": self._epoch,
            "position": self._position,
            "data": self._fingerprint(),
        }

    def load(self, state: dict[str, Any]) -> None:
        """Continues from `state()`; raises ValueError when the prompts are not the same."""
        if state["data"] != self._fingerprint():
            raise ValueError(
                f"the checkpoint was made on other data ({state['data']}; here "
                f"{self._fingerprint()}): a run resumes with the prompts it started with; restore "
                "data.path, or start anew"
            )
        self._seed, self._epoch, self._position = state["seed"], state["epoch"], state["position"]
        self._given_back = list(state["given_back"])
        self._order = self._shuffled()

    def _shuffled(self) -> NDArray[np.int64]:
        return np.random.default_rng([self._seed, self._epoch]).permutation(len(self._prompts))

    def _fingerprint(self) -> str:
        digest = blake2b(digest_size=8)
        for prompt in self._prompts:
            digest.update(prompt.id.encode())
        return f"{len(self._prompts)} prompts, {digest.hexdigest()}"
