"""Memory by hand: a model of 1,000 parameters, 2 layers of width 10 and 20, a vocabulary of 7.

A layer keeps 10 * 10 + 2 * 2 * 5 + 4 * 20 = 200 values per token.
"""

from dataclasses import replace

import pytest

from rl.cli.memory import (
    activation_bytes,
    engine_weight_bytes,
    host_bytes,
    learner_memory,
    logit_bytes,
    lora_parameters,
)
from rl.cli.shapes import Shapes
from rl.config import LearnerConfig, LoraConfig, Offload

FP32 = Shapes(
    num_parameters=1000,
    num_layers=2,
    hidden_size=10,
    intermediate_size=20,
    num_kv_heads=2,
    head_dim=5,
    vocab_size=7,
    bytes_per_value=4,
)
BF16 = replace(FP32, bytes_per_value=2)


@pytest.mark.parametrize(
    ("stage", "parameters", "gradients", "optimizer"),
    [(0, 4000, 4000, 8000), (1, 4000, 4000, 4000), (2, 4000, 2000, 4000), (3, 2000, 2000, 4000)],
)
def test_each_zero_stage_divides_more_over_two_ranks(
    stage: int, parameters: int, gradients: int, optimizer: int
) -> None:
    memory = learner_memory(
        FP32, LearnerConfig(zero_stage=stage), 2, with_reference=False, with_critic=False
    )
    found = (memory.parameters, memory.gradients, memory.optimizer, memory.reference)
    assert found == (parameters, gradients, optimizer, 0)


def test_sixteen_bit_parameters_keep_an_fp32_copy_in_the_optimizer() -> None:
    memory = learner_memory(
        BF16, LearnerConfig(zero_stage=0), 1, with_reference=False, with_critic=False
    )
    assert (memory.parameters, memory.gradients, memory.optimizer) == (2000, 4000, 12000)


def test_reference_model_is_divided_over_the_ranks() -> None:
    memory = learner_memory(
        FP32, LearnerConfig(zero_stage=0), 4, with_reference=True, with_critic=False
    )
    assert memory.reference == 1000


@pytest.mark.parametrize(("stage", "critic"), [(0, 16000), (2, 10000), (3, 8000)])
def test_a_critic_is_a_second_model_that_trains(stage: int, critic: int) -> None:
    learner = LearnerConfig(zero_stage=stage, lora=LoraConfig(rank=3))
    memory = learner_memory(FP32, learner, 2, with_reference=False, with_critic=True)
    assert memory.critic == critic
    assert memory.gradients < memory.critic


def test_zero_reduces_the_gradients_of_each_model_in_a_bucket_of_its_own() -> None:
    def buckets(stage: int, critic: bool, values: int = 1000) -> float:
        shapes = replace(FP32, num_parameters=values)
        learner = LearnerConfig(zero_stage=stage)
        return learner_memory(shapes, learner, 2, with_reference=False, with_critic=critic).buckets

    assert [buckets(0, True), buckets(2, False), buckets(2, True)] == [0, 4000, 8000]
    assert buckets(3, False, values=7_000_000_000) == 4 * 500_000_000


@pytest.mark.parametrize(
    ("offload", "host"), [(Offload.none, 0), (Offload.optimizer, 6000), (Offload.all, 8000)]
)
def test_the_host_takes_states_and_then_parameters(offload: Offload, host: int) -> None:
    """Two ranks at stage 3 hold 2,000 of parameters, 2,000 of gradients and 4,000 of Adam each."""
    learner = LearnerConfig(zero_stage=3)
    memory = learner_memory(FP32, learner, 2, with_reference=False, with_critic=False)
    assert host_bytes(memory, offload) == host


def test_total_is_the_sum_of_the_parts() -> None:
    learner = LearnerConfig(
        zero_stage=0,
        max_tokens_per_microbatch=3,
        logprob_chunk_tokens=2,
        gradient_checkpointing=True,
    )
    memory = learner_memory(FP32, learner, 1, with_reference=False, with_critic=False)
    assert (memory.activations, memory.logits) == (3120, 168)
    assert memory.total == 4000 + 4000 + 8000 + 3120 + 168


def test_adapters_alone_have_gradients_and_optimizer_state() -> None:
    learner = LearnerConfig(zero_stage=0, lora=LoraConfig(rank=1))
    memory = learner_memory(FP32, learner, 1, with_reference=False, with_critic=False)
    adapters = lora_parameters(FP32, 1)
    assert adapters == 2 * (4 * 20 + 3 * 30)
    assert (memory.gradients, memory.optimizer) == (4 * adapters, 8 * adapters)


def test_checkpointing_keeps_every_layers_input_and_one_layer() -> None:
    assert activation_bytes(FP32, 3, checkpointing=False) == 3 * (2 * 200 + 40) * 4
    assert activation_bytes(FP32, 3, checkpointing=True) == 3 * (2 * 10 + 200 + 40) * 4


def test_logits_are_those_of_one_chunk() -> None:
    assert logit_bytes(FP32, 5) == 5 * 7 * 4 * 3
    assert logit_bytes(BF16, 5) == 5 * 7 * 4 * 4


def test_engine_holds_the_weights_in_the_models_type() -> None:
    assert (engine_weight_bytes(FP32), engine_weight_bytes(BF16)) == (4000, 2000)


def test_token_costs_keys_and_values_in_every_layer() -> None:
    assert BF16.kv_bytes_per_token == 2 * 2 * 2 * 5 * 2
