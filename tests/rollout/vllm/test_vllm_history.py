"""Drafts from history in a real engine: the same tokens, in fewer steps the second time."""

import json

import pytest

from rollout.config import Speculation
from rollout.drafting.acceptance import Acceptance
from rollout.vllm.draft_history import draft_acceptance, history_state, load_history
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
    return draft_acceptance(running.engine)


def test_second_epoch_accepts_longer_drafts_and_its_history_can_be_saved(drafting):
    first, second = sampled(drafting), sampled(drafting)
    assert second.accepted_length > first.accepted_length > 1
    assert len(second.accepted_at) == 8
    drafting.publish(list(drafting.model().named_parameters()))
    sampled(drafting)
    state = json.loads(json.dumps(history_state(drafting.engine)))
    prompts = dict(state["prompts"])
    assert len(prompts) == len(drafting.prompts)
    newest = {outputs[-1][0] for outputs in prompts.values()}
    assert newest == {drafting.engine.weight_version}
    load_history(drafting.engine, state)
    assert sampled(drafting).accepted_length > first.accepted_length


def test_greedy_answers_are_those_without_drafts(drafting, lab_engine):
    ours = drafting.sample(32, LIMIT, temperature=0.0)
    theirs = lab_engine.sample(32, LIMIT, temperature=0.0)
    assert draft_acceptance(drafting.engine).accepted_length > 1
    for (_, one), (_, other) in zip(ours, theirs, strict=True):
        assert one.token_ids.tolist() == other.token_ids.tolist()
