"""What DeepSpeed is told, and that it does so."""

from typing import Any

import pytest
from torch import nn

from rl.config import LearnerConfig, Offload
from rl.learner.engine import deepspeed_config, train_engine
from rl.learner.process_group import Ranks

CPU = {"device": "cpu"}


@pytest.mark.parametrize(
    ("offload", "parts"),
    [
        (Offload.none, {}),
        (Offload.optimizer, {"offload_optimizer": CPU}),
        (Offload.all, {"offload_optimizer": CPU, "offload_param": CPU}),
    ],
)
def test_deepspeed_is_told_what_lies_in_the_hosts_memory(
    offload: Offload, parts: dict[str, Any]
) -> None:
    learner = LearnerConfig(zero_stage=3, offload=offload)
    assert deepspeed_config(learner, "float32")["zero_optimization"] == {"stage": 3} | parts


@pytest.mark.engine
@pytest.mark.parametrize("offload", [Offload.none, Offload.optimizer])
@pytest.mark.parametrize(("stage", "attribute"), [(2, "cpu_offload"), (3, "offload_optimizer")])
def test_deepspeed_offloads_the_optimizer_that_it_is_given(
    stage: int, attribute: str, offload: Offload, ranks: Ranks
) -> None:
    learner = LearnerConfig(zero_stage=stage, offload=offload)
    engine = train_engine(nn.Linear(3, 2).to(ranks.device), learner, "float32")
    assert getattr(engine.optimizer, attribute) == (offload is Offload.optimizer)


@pytest.mark.engine
def test_a_small_model_is_given_no_bucket_beyond_its_own_gradients(ranks: Ranks) -> None:
    model = nn.Linear(3, 2)
    model.bias.requires_grad_(False)
    engine = train_engine(model.to(ranks.device), LearnerConfig(zero_stage=3), "float32")
    buckets = engine.optimizer.ipg_buckets.values()
    assert [bucket.buffer.numel() for bucket in buckets] == [6]
