"""Drafts of one length, whatever they are worth: what the controller is measured against."""

import numpy as np

from rollout.drafting.acceptance_model import Proposal
from rollout.drafting.controller import Outcome
from rollout.drafting.goodput import Counts


class FixedLength:
    """The first `length` tokens of every draft are verified, in the place of a `Controller`."""

    def __init__(self, length: int) -> None:
        self._length = length

    def wants_drafts(self, rows: int) -> bool:
        return True

    def decide(self, proposal: Proposal) -> Counts:
        """How many slots of each row's chain to verify [rows]."""
        return np.minimum(proposal.lengths, self._length)

    def observe(self, outcome: Outcome) -> float:
        """There is nothing to learn, and nothing was expected."""
        return 0.0

    def weights_changed(self) -> None:
        """Nor to forget."""
