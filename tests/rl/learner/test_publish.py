"""What is published when: everything, the layers that train, or nothing."""

from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from rl.learner.channel import Work
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.publish import to_send
from rl.learner.ranks import LearnerGroup
from rl.learner.weights import Weight
from rollout.transfer import NamedTensors, layer_of
from tests.rl.learner.replay_driver import read_steps, run_config

NAMES = (
    "model.embed_tokens.weight",
    "model.layers.0.self_attn.q_proj.weight",
    "model.layers.0.self_attn.q_proj.bias",
    "model.layers.0.self_attn.o_proj.weight",
    "model.layers.0.mlp.up_proj.weight",
    "model.layers.1.self_attn.q_proj.weight",
    "lm_head.weight",
)


def weights(trained: set[str]) -> list[Weight]:
    return [
        Weight(name, nn.Parameter(torch.zeros(2), requires_grad=name in trained), None)
        for name in NAMES
    ]


def names(chosen: list[Weight]) -> list[str]:
    return [weight.name for weight in chosen]


def test_a_layer_is_sent_whole_when_one_of_its_tensors_trains() -> None:
    trained = {"model.layers.0.self_attn.q_proj.weight"}
    assert names(to_send(weights(trained), whole=False, moved=True)) == list(NAMES[1:4])


def test_a_weight_under_an_adapter_changes_although_it_is_frozen() -> None:
    adapted = Weight("lm_head.weight", nn.Parameter(torch.zeros(2), requires_grad=False), object())
    assert names(to_send([*weights(set())[:-1], adapted], False, True)) == ["lm_head.weight"]


@given(st.sets(st.sampled_from(NAMES)), st.booleans(), st.booleans())
def test_nothing_that_may_differ_is_left_out_and_no_layer_is_cut(
    trained: set[str], whole: bool, moved: bool
) -> None:
    sent = names(to_send(weights(trained), whole, moved))
    assert not moved or trained <= set(sent)
    layers = {layer_of(name) for name in sent}
    assert sent == [name for name in NAMES if layer_of(name) in layers]
    assert sent == list(NAMES) or not whole
    assert not sent or whole or moved


class Engine:
    """A transfer into a dict, which is what the engine samples with; `lose` starts another one."""

    def __init__(self) -> None:
        self.weights: dict[str, Tensor] = {}
        self.lose()

    def lose(self) -> None:
        self.weights.clear()
        self.installed = False
        self.version = -1

    def start(self) -> bool:
        installed, self.installed = self.installed, False
        return installed

    def send(self, bucket: NamedTensors) -> None:
        self.weights |= {name: tensor.clone() for name, tensor in bucket}

    def finish(self, version: int) -> None:
        self.version, self.installed = version, True


def learner(model: Path, ranks: Ranks, **options: Any) -> LearnerGroup:
    config = run_config(options)
    return LearnerGroup(DeepSpeedLearner(config, str(model), ranks), config, ranks)


@pytest.mark.engine
def test_engine_holds_the_policy_bit_by_bit_whatever_was_left_out(
    tiny_model: Path, ranks: Ranks, recording: Path
) -> None:
    """LoRA on q_proj of both layers: of 27 tensors, their attention's 2 x 7 are sent."""
    lora = {"rank": 2, "alpha": 4.0, "target_modules": ["q_proj"]}
    group = learner(tiny_model, ranks, learner={"lora": lora}, rollout={"sync_anchor_versions": 4})
    steps: Work = read_steps(recording)
    engine = Engine()
    numbers = []
    for version in range(1, 7):
        if version == 6:
            engine.lose()
        if version != 3:
            group.update(steps[version % len(steps)])
        metrics = group.publish(engine, version)
        numbers.append(metrics["sync/tensors"])
        policy = group.fingerprints(lambda name, tensor: tensor.clone())
        assert engine.version == version and engine.weights.keys() == policy.keys()
        assert all(torch.equal(engine.weights[name], policy[name]) for name in policy)
    # Version 3 follows no update, 4 is an anchor, 6 comes to a new engine.
    assert numbers == [27, 14, 0, 27, 14, 27]
    assert metrics["sync/bytes"] == sum(tensor.nbytes for tensor in engine.weights.values())


@pytest.mark.engine
def test_with_every_weight_trained_every_version_is_whole(
    tiny_model: Path, ranks: Ranks, recording: Path
) -> None:
    group, engine = learner(tiny_model, ranks), Engine()
    steps = read_steps(recording)
    numbers = []
    for version in range(1, 4):
        group.update(steps[version])
        numbers.append(group.publish(engine, version)["sync/tensors"])
    assert numbers == [27.0] * 3


@pytest.mark.engine
def test_weights_that_were_loaded_again_are_sent(
    tiny_model: Path, ranks: Ranks, recording: Path, tmp_path: Path
) -> None:
    lora = {"rank": 2, "alpha": 4.0, "target_modules": ["q_proj"]}
    group, engine = learner(tiny_model, ranks, learner={"lora": lora}), Engine()
    group.publish(engine, 1)
    group.save(tmp_path)
    group.load(tmp_path)
    assert group.publish(engine, 2)["sync/tensors"] == 14


@pytest.mark.engine
def test_engine_that_another_learner_used_gets_everything(tiny_model: Path, ranks: Ranks) -> None:
    engine = Engine()
    for _ in range(2):
        group = learner(tiny_model, ranks)
        assert group.publish(engine, 1)["sync/tensors"] == 27
        assert group.publish(engine, 2)["sync/tensors"] == 0
