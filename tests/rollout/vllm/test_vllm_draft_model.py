"""A draft model changes how many tokens a step gives, never which; its weights can be sent."""

import pytest
import torch
from transformers import AutoModelForCausalLM, AutoTokenizer

from rollout.config import Speculation
from rollout.drafting.config import DraftModelConfig
from tests.engine_fixtures import LAB, started
from tests.rollout.vllm.reference import log_prob_gap, moved, surprise

pytestmark = pytest.mark.engine

GAP = 1e-3


@pytest.fixture(scope="module")
def running(tmp_path_factory):
    """The lab's model, drafted for by one whose weights were moved so far that it is of no use."""
    folder = tmp_path_factory.mktemp("drafter") / "model"
    drafter = AutoModelForCausalLM.from_pretrained(LAB / "short", dtype=torch.float32)
    for seed in range(4):
        moved(drafter, seed, spread=0.5)
    drafter.save_pretrained(folder)
    AutoTokenizer.from_pretrained(LAB / "short").save_pretrained(folder)
    with started(
        LAB / "short",
        speculation=Speculation.draft_model,
        draft_model=DraftModelConfig(path=str(folder)),
        num_speculative_tokens=4,
    ) as engine:
        yield engine


def send(running, policy, drafter):
    """One cycle with weights of both; returns the new version."""
    version = running.engine.weight_version + 1
    running.transfer.start()
    running.transfer.send(list(policy.named_parameters()))
    running.transfer.turn_to_drafter()
    running.transfer.send(list(drafter.named_parameters()))
    running.transfer.finish(version)
    return version


def test_bad_drafts_leave_the_policys_distribution_and_good_ones_are_accepted(running):
    answered = running.sample(128, 200)
    policy = running.model()
    gap, num_tokens = log_prob_gap(policy, answered)
    before = running.engine.draft_acceptance()
    assert num_tokens >= 2000 and gap <= GAP
    assert abs(surprise(policy, answered)) < 4
    assert before.verifications > 1000 and before.draft_acceptance < 0.5

    version = send(running, policy, policy)
    answered = running.sample(128, 200)
    after = running.engine.draft_acceptance()
    assert {completion.weight_versions for _, completion in answered} == {(version, version)}
    assert log_prob_gap(policy, answered)[0] <= GAP
    assert abs(surprise(policy, answered)) < 4
    assert after.draft_acceptance > 0.95
    assert running.engine.draft_acceptance().verifications == 0


def test_a_cycle_moves_the_policy_and_its_drafter_each_to_its_own_weights(running):
    policy, other = moved(running.model(), seed=5), moved(running.model(), seed=6)
    send(running, policy, policy)
    running.sample(64, 100)
    same = running.engine.draft_acceptance().draft_acceptance
    send(running, policy, other)
    answered = running.sample(64, 100)
    different = running.engine.draft_acceptance().draft_acceptance
    assert log_prob_gap(policy, answered)[0] <= GAP
    assert same > 0.95 > different


def test_a_cycle_without_a_drafter_leaves_the_drafter_as_it_was(running):
    policy = running.model()
    send(running, policy, policy)
    running.publish(list(policy.named_parameters()))
    running.sample(64, 100)
    assert running.engine.draft_acceptance().draft_acceptance > 0.95
