"""LoRA and a real engine: adapters reach it merged, and what they leave alone is not sent again."""

from pathlib import Path

import pytest
import torch
from transformers import AutoModelForCausalLM

from data.config import ModelConfig
from data.types import Group
from rl.algorithms.aggregation import token_mean
from rl.algorithms.grpo import GrpoConfig
from rl.config import LearnerConfig, LoraConfig, RunConfig
from rl.learner.batch import rows_of, split_minibatches
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from rollout.config import RolloutConfig
from rollout.fingerprint import fingerprint, stale_parameters
from tests.engine_fixtures import LAB, LabEngine
from tests.rollout.vllm.reference import log_prob_gap

ADAPTED = ("q_proj.weight", "v_proj.weight")


@pytest.fixture
def learner(ranks: Ranks) -> LearnerGroup:
    config = RunConfig(
        model=ModelConfig(path="lab:short", dtype="float32"),
        algorithm=GrpoConfig(),
        learner=LearnerConfig(
            zero_stage=0,
            learning_rate=1e-2,
            lora=LoraConfig(rank=4, target_modules=["q_proj", "v_proj"]),
        ),
        rollout=RolloutConfig(sync_anchor_versions=10**9),
    )
    return LearnerGroup(DeepSpeedLearner(config, str(LAB / "short"), ranks), config, ranks)


@pytest.mark.engine
def test_engine_samples_with_the_merged_adapters_of_which_alone_it_was_sent(
    lab_weights: LabEngine, learner: LearnerGroup, tmp_path: Path
) -> None:
    version = lab_weights.engine.weight_version
    whole = learner.publish(lab_weights.transfer, version + 1)
    rollouts = lab_weights.sample(32, 48)
    groups = [Group(prompt=p, completions=(c,)) for p, c in rollouts]
    advantages = [[1.0 if index % 2 else -1.0] for index in range(len(groups))]
    # The product of an adapter is 0 until its second factor has moved.
    for _ in range(2):
        learner.update(split_minibatches(rows_of(groups, advantages, 0), 1, token_mean))
    sent = learner.publish(lab_weights.transfer, version + 2)

    # Of 3 layers with 128 columns the attention: 4 matrices and 3 biases.
    assert sent == {"sync/tensors": 3 * 7, "sync/bytes": 4 * 3 * (4 * 128 * 128 + 3 * 128)}
    assert whole["sync/tensors"] == 3 * 12 + 3
    assert sent["sync/bytes"] < 0.4 * whole["sync/bytes"]

    wanted = learner.fingerprints(fingerprint)
    assert stale_parameters(lab_weights.engine.fingerprints(), wanted, 1e-4) == []
    learner.export(tmp_path)
    exported = AutoModelForCausalLM.from_pretrained(tmp_path).eval()
    assert log_prob_gap(lab_weights.model(), lab_weights.sample(32, 48))[0] > 1e-2
    assert log_prob_gap(exported, lab_weights.sample(32, 48))[0] <= 1e-3
    base = lab_weights.model()
    for name, value in exported.named_parameters():
        assert torch.equal(value, base.get_parameter(name)) != name.endswith(ADAPTED), name
