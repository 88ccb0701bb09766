"""With speculation on, the engine's first tokens have exactly the model's joint distribution.

Fixed short prefixes, inside the prompt, where the model has a choice; joint counts of the first
three tokens against the checkpoint's own probabilities, chi-square and largest cell deviation of
each prefix, Holm over all of them at 1 percent. The gate must stand for every honest drafter, also
for adversaries, and fall on a planted lenience and on the stock kernel.
"""

import json
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import pytest

from rollout.config import Speculation
from rollout.drafting.config import DraftModelConfig, HistoryConfig
from tests.engine_fixtures import LAB, LabEngine, lab_prompts, started
from tests.rollout.vllm.exactness import (
    binomial_range,
    chi_square_p_value,
    holm_rejects,
    largest_deviation_p_value,
)
from tests.rollout.vllm.joint import Joint, first_tokens
from tests.rollout.vllm.planted_drafters import DRAFTS_VARIABLE

pytestmark = [pytest.mark.engine, pytest.mark.gates]

LEVEL = 0.01
REPEATS = 20
DRAWS_PER_PREFIX = 4_000
"""A lenience of 10 percent falls in 1,500 of 1,500 simulated gates (1,497 at 3,000 draws)."""
PREFIX_LENGTHS = (2, 4, 6, 8)
DEPTH = 3
NUM_DRAFTS = 3
TEMPERATURE = 1.5
"""The lab's model is nearly certain at 1; flattened, about half of the likeliest drafts pass."""

PLANTED = "tests.rollout.vllm.planted_drafters."
SPECULATION = {
    "ngram": {"method": "ngram", "prompt_lookup_min": 1, "prompt_lookup_max": 3},
    "suffix": {"method": "suffix"},
    "always the likeliest": {"method": "custom_class", "model": f"{PLANTED}TableDrafter"},
    "always the least likely": {"method": "custom_class", "model": f"{PLANTED}TableDrafter"},
    "a sibling's text": {"method": "custom_class", "model": f"{PLANTED}SiblingDrafter"},
}
DEFECTS = {
    "a lenience of 10 percent": f"{PLANTED}LenientDrafter",
    "the stock kernel": f"{PLANTED}StockKernelDrafter",
}


@pytest.fixture(scope="module")
def joints() -> dict[tuple[int, ...], Joint]:
    """The exact distribution after each prefix."""
    import torch
    from transformers import AutoModelForCausalLM

    model = AutoModelForCausalLM.from_pretrained(LAB / "short", dtype=torch.float32).eval()
    text = tuple(lab_prompts(LAB / "short", 1)[0].token_ids.tolist())
    prefixes = [text[:length] for length in PREFIX_LENGTHS]
    return {prefix: Joint(model, prefix, DEPTH, TEMPERATURE) for prefix in prefixes}


@contextmanager
def speculating(speculation: dict[str, object]) -> Iterator[LabEngine]:
    config = {"num_speculative_tokens": NUM_DRAFTS, **speculation}
    with started(LAB / "short", engine_args={"speculative_config": config}) as running:
        yield running


@pytest.fixture
def drafts_file(tmp_path, monkeypatch, joints):
    """Writes the table of drafts that follow the likeliest, or the least likely, tokens."""

    def write(most_likely: bool) -> None:
        path = tmp_path / "drafts.json"
        rows = [row for joint in joints.values() for row in joint.drafts(most_likely, NUM_DRAFTS)]
        path.write_text(json.dumps(rows))
        monkeypatch.setenv(DRAFTS_VARIABLE, str(path))

    return write


def gate_falls(running: LabEngine, joints, repeat: int) -> bool:
    p_values = []
    for number, joint in enumerate(joints.values()):
        seed = (repeat * len(joints) + number) * DRAWS_PER_PREFIX
        seeds = range(seed, seed + DRAWS_PER_PREFIX)
        counts = joint.counts(first_tokens(running.loop, running.engine, joint, seeds))
        rng = np.random.default_rng(seed)
        p_values.append(chi_square_p_value(counts, joint.probabilities))
        p_values.append(largest_deviation_p_value(counts, joint.probabilities, rng))
    return any(holm_rejects(p_values, LEVEL))


@pytest.mark.parametrize("drafter", SPECULATION)
def test_first_tokens_have_the_models_joint_distribution(drafter, joints, drafts_file):
    drafts_file(most_likely=drafter != "always the least likely")
    with speculating(SPECULATION[drafter]) as running:
        alarms = sum(gate_falls(running, joints, repeat) for repeat in range(REPEATS))
    assert alarms <= binomial_range(REPEATS, LEVEL, 0.99)[1]


@pytest.mark.parametrize("draft_length", [0, NUM_DRAFTS], ids=["controller", "all drafts"])
def test_drafts_from_history_leave_the_joint_distribution_as_it_is(draft_length, joints):
    """What the controller drops and when it stops depends on the past alone."""
    options = {
        "speculation": Speculation.history,
        "num_speculative_tokens": NUM_DRAFTS,
        "history": HistoryConfig(draft_length=draft_length),
    }
    with started(LAB / "short", **options) as running:
        alarms = sum(gate_falls(running, joints, repeat) for repeat in range(REPEATS))
        verified = running.engine.draft_acceptance()
    assert 0 < sum(verified.accepted_at) < sum(verified.drafted_at)
    assert alarms <= binomial_range(REPEATS, LEVEL, 0.99)[1]


def test_drafts_drawn_from_a_model_leave_the_joint_distribution_as_it_is(joints):
    """The tied lab model drafts: near the policy, and never equal to it."""
    options = {
        "speculation": Speculation.draft_model,
        "num_speculative_tokens": NUM_DRAFTS,
        "draft_model": DraftModelConfig(path=str(LAB / "short_tied")),
    }
    with started(LAB / "short", **options) as running:
        alarms = sum(gate_falls(running, joints, repeat) for repeat in range(REPEATS))
        verified = running.engine.draft_acceptance()
    assert 0 < sum(verified.accepted_at) < sum(verified.drafted_at)
    assert alarms <= binomial_range(REPEATS, LEVEL, 0.99)[1]


@pytest.mark.parametrize("defect", DEFECTS)
def test_a_planted_defect_is_found_every_time(defect, joints, drafts_file):
    drafts_file(most_likely=True)
    with speculating({"method": "custom_class", "model": DEFECTS[defect]}) as running:
        assert all(gate_falls(running, joints, repeat) for repeat in range(REPEATS))
