"""Drafts from history in a real engine: the same tokens, in fewer steps the second time."""

import pytest

from rollout.config import Speculation
from rollout.drafting.acceptance import Acceptance
from tests.engine_fixtures import LAB, LabEngine, started

pytestmark = pytest.mark.engine

COUNT, LIMIT = 128, 200


@pytest.fixture(scope="module")
def drafting():
    with started(LAB / "short", speculation=Speculation.history) as running:
        yield running


def sampled(running: LabEngine) -> Acceptance:
    """What was accepted while every prompt was answered four times, all at once."""
    running.sample(COUNT, LIMIT, seed=None)
    return running.engine.draft_acceptance()


def test_second_epoch_accepts_longer_drafts(drafting):
    first, second = sampled(drafting), sampled(drafting)
    assert second.accepted_length > first.accepted_length > 1
    drafting.publish(list(drafting.model().named_parameters()))
    assert sampled(drafting).accepted_length > first.accepted_length


def test_greedy_answers_are_those_without_drafts(drafting, lab_engine):
    ours = drafting.sample(32, LIMIT, temperature=0.0)
    theirs = lab_engine.sample(32, LIMIT, temperature=0.0)
    assert drafting.engine.draft_acceptance().accepted_length > 1
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
