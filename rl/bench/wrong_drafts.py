"""Drafts from history that are all wrong, which the goodput controller has to turn off."""

from typing import TYPE_CHECKING, Any

from rollout.vllm.history_proposer import HistoryProposer

if TYPE_CHECKING:
    from vllm.config import VllmConfig


class WrongProposer(HistoryProposer):
    """Each drafted token is exchanged for the next one of the vocabulary, at the same certainty."""

    def __init__(self, vllm_config: "VllmConfig") -> None:
        super().__init__(vllm_config)
        self._vocabulary = vllm_config.model_config.get_vocab_size()

    def propose(self, *args: Any, **kwargs: Any) -> list[list[int]]:
        drafts = super().propose(*args, **kwargs)
        return [[(token + 1) % self._vocabulary for token in draft] for draft in drafts]
