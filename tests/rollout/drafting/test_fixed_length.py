import numpy as np

from rollout.drafting.acceptance_model import Proposal
from rollout.drafting.fixed_length import FixedLength


def test_every_draft_is_cut_to_the_length():
    proposal = Proposal(
        lengths=np.array([5, 0, 2]),
        probabilities=np.full(7, 0.01),
        match_lengths=np.ones(3, np.int64),
        ages=np.zeros(3),
        draft_seconds=9.0,
    )
    assert FixedLength(3).wants_drafts(2)
    assert FixedLength(3).decide(proposal).tolist() == [3, 0, 2]
