"""How long will the answers to a prompt be? Predicted from its answers of earlier epochs.

One number per prompt in `PromptMemory`, and the lengths of the latest completions for prompts that
were never seen. The policy's drift since the last epoch is not corrected for.
"""

from collections import deque
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np

from data.memory import PromptMemory
from data.types import Group

KEY = "predicted_tokens"
"""The name of the prediction in a prompt's record."""
GROUP_QUANTILE = 0.9
UNSEEN_QUANTILE = 0.8
"""A prompt without a history is taken for a rather long one: a late start of a long answer costs
more than an early start of a short one."""
EPOCH_WEIGHT = 0.5
NUM_RECENT = 4096


def predicted_tokens(before: float | None, lengths: Sequence[int]) -> float:
    """L = w Q90(lengths) + (1 - w) L_before, w = 0.5: an average over epochs, the latest first.

    `lengths` are the sampled tokens of one group [G]; their 90th percentile (linear between ranks)
    stands for the group's end, as their maximum would, but is less noisy. The first epoch's stands
    alone.
    """
    latest = float(np.quantile(lengths, GROUP_QUANTILE))
    return latest if before is None else EPOCH_WEIGHT * latest + (1 - EPOCH_WEIGHT) * before


class LengthHistory:
    """Learns from whole groups; keeps its predictions in `memory`, which others share.

    One thread observes; any thread may ask meanwhile.
    """

    def __init__(self, memory: PromptMemory) -> None:
        self._memory = memory
        self._recent: deque[int] = deque(maxlen=NUM_RECENT)
        self._unseen = 0.0

    def predicted(self, prompt_id: str) -> float:
        """Tokens that the longest answers to the prompt will have; 0 before the first group.

        For an unseen prompt the 80th percentile of the latest completions of all prompts.
        """
        known = self._memory.get(prompt_id).get(KEY)
        if known is not None:
            assert isinstance(known, float)
            return known
        return self._unseen

    def observe(self, groups: Iterable[Group]) -> None:
        """Learns from whole groups, of each once."""
        for group in groups:
            before = self._memory.get(group.prompt.id).get(KEY)
            assert before is None or isinstance(before, float)
            self._memory.update(group.prompt.id, {KEY: predicted_tokens(before, group.lengths)})
            self._recent.extend(group.lengths)
        self._learn_unseen()

    def state(self) -> dict[str, Any]:
        """What `memory` does not hold; JSON can."""
        return {"recent": list(self._recent)}

    def load(self, state: dict[str, Any]) -> None:
        """Continues from `state()`."""
        self._recent = deque(state["recent"], maxlen=NUM_RECENT)
        self._learn_unseen()

    def _learn_unseen(self) -> None:
        recent = self._recent or [0]
        self._unseen = float(np.quantile(recent, UNSEEN_QUANTILE))
