"""What is exported is what the run's engine samples from: greedy tokens agree everywhere."""

from collections.abc import Sequence
from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM, PreTrainedModel

from data.config import ModelConfig
from data.types import Group, Prompt
from rl.algorithms.aggregation import token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.config import LearnerConfig, RunConfig
from rl.learner.batch import rows_of, split_minibatches
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.engine_fixtures import LAB, LabEngine, started

NUM_PROMPTS, NUM_TOKENS = 64, 64
TIE = 1e-4
"""Logits closer than this are a tie, which rounding may break either way."""


@pytest.fixture
def learner(ranks: Ranks) -> LearnerGroup:
    config = RunConfig(
        model=ModelConfig(path="lab:short", dtype="float32"),
        algorithm=GrpoConfig(),
        learner=LearnerConfig(zero_stage=0, learning_rate=1e-3),
    )
    return LearnerGroup(DeepSpeedLearner(config, str(LAB / "short"), ranks), config, ranks)


@pytest.mark.engine
def test_export_run_engine_and_fresh_engine_decode_the_same_tokens(
    lab_weights: LabEngine, learner: LearnerGroup, tmp_path: Path
) -> None:
    rollouts = lab_weights.sample(32, 48)
    groups = [Group(prompt=p, completions=(c,)) for p, c in rollouts]
    advantages = [[1.0 if index % 2 else -1.0] for index in range(len(groups))]
    learner.update(split_minibatches(rows_of(groups, advantages, 0), 1, token_mean))
    learner.publish(lab_weights.transfer, lab_weights.engine.weight_version + 1)
    learner.export(tmp_path / "export")
    exported = AutoModelForCausalLM.from_pretrained(tmp_path / "export").eval()
    untrained = lab_weights.model()
    changed = [
        (p - q).abs().max().item()
        for p, q in zip(exported.parameters(), untrained.parameters(), strict=True)
    ]
    assert min(changed) > 0, "the update must have moved every parameter"

    ours = greedy(lab_weights)
    with started(tmp_path / "export") as fresh:
        theirs = greedy(fresh)
    plain = [transformers_greedy(exported, prompt) for prompt, _ in ours]
    engines = [tokens for _, tokens in ours], [tokens for _, tokens in theirs]
    for (prompt, _), reference, *sampled in zip(ours, plain, *engines, strict=True):
        for tokens in sampled:
            gap = first_divergence_gap(exported, prompt, reference, tokens)
            assert gap < TIE, f"{prompt.id}: {reference} against {tokens}, logit gap {gap}"


def greedy(engine: LabEngine) -> list[tuple[Prompt, list[int]]]:
    pairs = engine.sample(NUM_PROMPTS, NUM_TOKENS, temperature=0.0, seed=None)
    return [(prompt, completion.token_ids.tolist()) for prompt, completion in pairs]


@torch.inference_mode()
def transformers_greedy(model: PreTrainedModel, prompt: Prompt) -> list[int]:
    """Plain greedy decoding, one prompt at a time, ending with the end-of-sequence token."""
    ids = torch.from_numpy(prompt.token_ids.copy()).long()[None]
    output = model.generate(ids, max_new_tokens=NUM_TOKENS, do_sample=False)
    tokens: list[int] = output[0, ids.shape[1] :].tolist()
    return tokens


@torch.inference_mode()
def first_divergence_gap(
    model: PreTrainedModel, prompt: Prompt, reference: Sequence[int], tokens: Sequence[int]
) -> float:
    """Difference of the two tokens' logits where the sequences part; 0 when they do not."""
    pairs = enumerate(zip(reference, tokens, strict=False))
    parting = next((index for index, (a, b) in pairs if a != b), None)
    if parting is None:
        return 0.0 if len(reference) == len(tokens) else float("inf")
    ids = torch.tensor([[*prompt.token_ids.tolist(), *reference[:parting]]])
    logits = model(ids).logits[0, -1]
    return float((logits[reference[parting]] - logits[tokens[parting]]).abs())
