"""The critic against plain torch, and what must not change its update."""

import json
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModel, AutoModelForCausalLM

from rl.algorithms.aggregation import sequence_mean_token_mean
from rl.config import CriticConfig
from rl.learner.batch import Row, ValueRow, dummy_value_row, even_minibatches
from rl.learner.critic import (
    SharedValueModel,
    ValueModel,
    flatten_states,
    pad_states,
    weighted_loss,
)
from rl.learner.deepspeed_learner import DeepSpeedLearner, policy_steps
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.rl.learner.launch import launch
from tests.rl.learner.replay_driver import read_steps, run_config

CPU = torch.device("cpu")
CRITIC = {"learning_rate": 1e-3, "clip_low": 0.02, "clip_high": 0.03}


def row(token_ids: list[int], prompt_length: int, mask: list[bool]) -> ValueRow:
    return ValueRow(
        token_ids=np.array(token_ids, np.int32),
        prompt_length=prompt_length,
        mask=np.array(mask),
        weight=0.5,
        old_values=np.arange(len(mask), dtype=np.float32),
        returns=np.full(len(mask), 7, np.float32),
    )


ROWS = [row([5, 6, 7, 8], 2, [True, False]), row([1, 2], 1, [True])]


def test_states_are_those_before_each_token_and_after_the_last() -> None:
    batch = pad_states(ROWS, CPU)
    assert batch.token_ids.tolist() == [[5, 6, 7, 8], [1, 2, 0, 0]]
    assert batch.rows.tolist() == [0, 0, 0, 1, 1]
    assert batch.positions.tolist() == [1, 2, 3, 0, 1]


def test_the_state_after_the_last_token_never_trains() -> None:
    flat = flatten_states(ROWS, CPU)
    assert flat.mask.tolist() == [True, False, False, True, False]
    assert flat.old_values.tolist() == [0, 1, 0, 0, 0]
    assert flat.returns.tolist() == [7, 7, 0, 7, 0]
    assert flat.weights.tolist() == [0.5] * 5


def value_model(folder: Path) -> ValueModel:
    model = ValueModel(AutoModelForCausalLM.from_pretrained(folder).base_model)
    torch.nn.init.normal_(model.head.weight, generator=torch.Generator().manual_seed(0))
    return model.eval()


def test_a_critic_begins_with_the_value_zero(tiny_model: Path) -> None:
    model = ValueModel(AutoModelForCausalLM.from_pretrained(tiny_model).base_model)
    assert model(pad_states(ROWS, CPU)).tolist() == [0.0] * 5


def test_values_are_hidden_states_times_the_head(tiny_model: Path) -> None:
    model = value_model(tiny_model)
    hidden = AutoModel.from_pretrained(tiny_model)(torch.tensor([[5, 6, 7, 8]])).last_hidden_state
    theirs = hidden[0, 1:] @ model.head.weight[0]
    torch.testing.assert_close(model(pad_states(ROWS, CPU))[:3], theirs, rtol=0, atol=1e-5)


def test_a_shared_backbone_gives_the_policys_states_and_takes_no_gradient(
    tiny_model: Path,
) -> None:
    policy = AutoModelForCausalLM.from_pretrained(tiny_model)
    shared, separate = SharedValueModel(policy.train()), value_model(tiny_model)
    shared.head.load_state_dict(separate.head.state_dict())
    values = shared(pad_states(ROWS, CPU))
    torch.testing.assert_close(values, separate(pad_states(ROWS, CPU)), rtol=0, atol=0)
    values.sum().backward()
    assert [name for name, _ in shared.named_parameters()] == ["head.weight"]
    assert shared.head.weight.grad is not None and shared.head.weight.grad.any()
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert not policy.training  # so that dropout has no part in the values


def test_a_dummy_row_gives_every_parameter_a_zero_gradient(tiny_model: Path) -> None:
    model = value_model(tiny_model)
    (0 * model(pad_states([dummy_value_row()], CPU))).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in model.parameters())


def test_rows_make_at_most_as_many_minibatches_as_there_are() -> None:
    parts = even_minibatches(ROWS * 2 + ROWS[:1], 2, sequence_mean_token_mean)
    assert [[r.weight for r in part] for part in parts] == [[1 / 2] * 2, [1 / 3] * 3]
    assert len(even_minibatches(ROWS[:1], 4, sequence_mean_token_mean)) == 1
    assert even_minibatches([], 2, sequence_mean_token_mean) == []


def test_the_policys_schedule_is_as_long_as_its_own_steps() -> None:
    assert policy_steps(run_config({})) == 5
    assert policy_steps(run_config({"critic": {"warmup_steps": 2}})) == 3
    assert policy_steps(run_config({"critic": {"warmup_steps": 9}})) == 0


def slow_values(model: ValueModel, row: Row | ValueRow) -> torch.Tensor:
    """Values before each token of one row, by the whole model on that row alone."""
    ids = torch.from_numpy(row.token_ids.astype(np.int64))
    hidden = model.backbone(ids[None]).last_hidden_state[0]
    return (hidden @ model.head.weight[0])[row.prompt_length - 1 : -1]


def slow_loss(model: ValueModel, row: ValueRow, clip_low: float, clip_high: float) -> torch.Tensor:
    """Half the mean over trained tokens of the larger of the two squared errors."""
    trained = torch.from_numpy(row.mask)
    values = slow_values(model, row)[trained]
    returns, old = torch.from_numpy(row.returns)[trained], torch.from_numpy(row.old_values)[trained]
    clipped = torch.clamp(values, old - clip_low, old + clip_high)
    return 0.5 * torch.maximum((values - returns) ** 2, (clipped - returns) ** 2).mean()


def random_rows() -> list[ValueRow]:
    """Twelve rows of 3 to 20 tokens, a fifth of which are not the policy's."""
    random = np.random.default_rng(5)
    found = []
    for _ in range(12):
        prompt, response = random.integers(1, 5), random.integers(2, 16)
        mask = random.random(response) < 0.8
        mask[0] = True
        found.append(
            ValueRow(
                token_ids=random.integers(0, 64, prompt + response).astype(np.int32),
                prompt_length=int(prompt),
                mask=mask,
                old_values=random.normal(size=response).astype(np.float32),
                returns=random.normal(size=response).astype(np.float32),
            )
        )
    (rows,) = even_minibatches(found, 1, sequence_mean_token_mean)
    return rows


@pytest.mark.parametrize("size", [1, 5, 12])
def test_gradient_is_that_of_a_slow_reference_however_the_rows_are_cut(
    size: int, tiny_tied_model: Path
) -> None:
    rows, clip = random_rows(), (0.5, 0.6)
    ours, theirs = value_model(tiny_tied_model), value_model(tiny_tied_model)
    total = 0.0
    for start in range(0, len(rows), size):
        micro = rows[start : start + size]
        loss = weighted_loss(ours(pad_states(micro, CPU)), flatten_states(micro, CPU), *clip)
        loss.backward()
        total += loss.item()
    slow = torch.stack([slow_loss(theirs, row, *clip) for row in rows]).mean()
    slow.backward()
    assert total == pytest.approx(slow.item(), abs=1e-6)
    gradients = [
        torch.cat([p.grad.flatten() for p in model.parameters()]) for model in (ours, theirs)
    ]
    assert (gradients[0] - gradients[1]).norm() <= 1e-5 * gradients[1].norm()


def slow_update(
    folder: Path, minibatches: list[list[ValueRow]], critic: CriticConfig, head_alone: bool = False
) -> tuple[list[float], list[float], ValueModel]:
    """Losses, gradient norms and the model afterwards: plain torch, one row at a time."""
    model = ValueModel(AutoModelForCausalLM.from_pretrained(folder).base_model)
    learning = model.head if head_alone else model
    optimizer = torch.optim.AdamW(learning.parameters(), lr=critic.learning_rate, weight_decay=0.0)
    losses, norms = [], []
    for rows in minibatches:
        clip = critic.clip_low, critic.clip_high
        total = torch.stack([slow_loss(model, row, *clip) for row in rows]).mean()
        optimizer.zero_grad()
        total.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(learning.parameters(), 0.3).item())
        optimizer.step()
        losses.append(total.item())
    return losses, norms, model


@pytest.fixture(scope="module")
def steps(recording: Path) -> list[list[list[Row]]]:
    return read_steps(recording)


def group(model: Path, ranks: Ranks, **options: Any) -> LearnerGroup:
    options = {"critic": CRITIC, **options}
    config = run_config(options)
    return LearnerGroup(DeepSpeedLearner(config, str(model), ranks), config, ranks)


def value_rows(step: list[list[Row]], seed: int = 0) -> list[list[ValueRow]]:
    """Two minibatches with random returns, from the value 0."""
    random = np.random.default_rng(seed)
    rows = [
        ValueRow(
            token_ids=row.token_ids,
            prompt_length=row.prompt_length,
            mask=row.mask.copy(),
            old_values=np.zeros(row.response_length, np.float32),
            returns=random.normal(size=row.response_length).astype(np.float32),
        )
        for minibatch in step
        for row in minibatch
    ]
    return even_minibatches(rows, 2, sequence_mean_token_mean)


@pytest.mark.engine
@pytest.mark.parametrize("stage", [0, 2, 3])
def test_an_update_is_what_plain_torch_does(
    stage: int, tiny_tied_model: Path, ranks: Ranks, steps: Any
) -> None:
    trained = group(tiny_tied_model, ranks, learner={"zero_stage": stage, "max_grad_norm": 0.3})
    # The head starts at 0, so that the backbone has no gradient before the second minibatch.
    minibatches = value_rows(steps[0]) + value_rows(steps[1])
    metrics = trained.update_critic(minibatches)
    losses, norms, model = slow_update(tiny_tied_model, minibatches, CriticConfig(**CRITIC))
    assert max(norms) > 0.3  # so that clipping is part of what is compared
    assert metrics["critic/vf_clipfrac"] > 0
    assert metrics["critic/vf_loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert metrics["critic/grad_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
    rows = [row for minibatch in minibatches for row in minibatch]
    for row, ours in zip(rows, trained.values(rows), strict=True):
        theirs = slow_values(model, row).detach().numpy()
        np.testing.assert_allclose(ours[:-1], theirs, rtol=0, atol=2e-5)


@pytest.mark.engine
@pytest.mark.parametrize(("stage", "rank"), [(0, 0), (2, 4), (3, 0)])
def test_a_head_on_the_policys_states_learns_alone_and_follows_the_policy(
    stage: int, rank: int, tiny_tied_model: Path, tmp_path: Path, ranks: Ranks, steps: Any
) -> None:
    learner = {"zero_stage": stage, "max_grad_norm": 0.3, "lora": {"rank": rank}}
    shared = CRITIC | {"backbone": "shared"}
    trained = group(tiny_tied_model, ranks, critic=shared, learner=learner)
    untouched = group(tiny_tied_model, ranks, critic=shared, learner=learner)
    minibatches = value_rows(steps[0]) + value_rows(steps[1])
    metrics = trained.update_critic(minibatches)
    losses, norms, model = slow_update(
        tiny_tied_model, minibatches, CriticConfig(**CRITIC), head_alone=True
    )
    assert metrics["critic/vf_loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert metrics["critic/grad_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
    # The policy's own update is the one of a policy whose critic has learned nothing.
    assert trained.update(steps[0]) == untouched.update(steps[0])
    trained.export(tmp_path)
    model.backbone = AutoModelForCausalLM.from_pretrained(tmp_path).base_model
    rows = [row for minibatch in minibatches for row in minibatch]
    for row, ours in zip(rows, trained.values(rows), strict=True):
        theirs = slow_values(model, row).detach().numpy()
        np.testing.assert_allclose(ours[:-1], theirs, rtol=0, atol=2e-5)


@pytest.mark.engine
def test_microbatches_and_the_order_of_rows_change_nothing(
    tiny_model: Path, ranks: Ranks, steps: Any
) -> None:
    small = group(tiny_model, ranks, learner={"max_tokens_per_microbatch": 40, "zero_stage": 0})
    large = group(tiny_model, ranks, learner={"max_tokens_per_microbatch": 10**6, "zero_stage": 0})
    minibatches = value_rows(steps[0])
    shuffled = [random.Random(0).sample(rows, len(rows)) for rows in minibatches]
    ours, theirs = small.update_critic(shuffled), large.update_critic(minibatches)
    assert ours == pytest.approx(theirs, rel=1e-5, abs=1e-6)


@pytest.mark.engine
def test_tokens_that_nobody_sampled_never_matter(
    tiny_model: Path, ranks: Ranks, steps: Any
) -> None:
    def garbled(value: float) -> list[list[ValueRow]]:
        minibatches = value_rows(steps[0])
        for row in (row for rows in minibatches for row in rows):
            row.mask[0], row.returns[0], row.old_values[0] = False, value, value
        return minibatches

    ours, theirs = (
        group(tiny_model, ranks, learner={"zero_stage": 0}).update_critic(garbled(value))
        for value in (0.0, 1e6)
    )
    assert ours == theirs


@pytest.mark.engine
@pytest.mark.parametrize("stage", [0, 2])
def test_a_bad_gradient_is_left_out(stage: int, tiny_model: Path, ranks: Ranks, steps: Any) -> None:
    clean, hit = (group(tiny_model, ranks, learner={"zero_stage": stage}) for _ in range(2))
    for trained in (clean, hit):
        trained.update_critic(value_rows(steps[0]))
    bad = value_rows(steps[1])
    bad[0][0].returns[0] = np.nan
    assert hit.update_critic(bad[:1])["critic/skipped_updates"] == 1
    ours, theirs = (trained.update_critic(value_rows(steps[2])) for trained in (hit, clean))
    assert ours == theirs


@pytest.mark.engine
def test_bfloat16_follows_float32(tiny_model: Path, ranks: Ranks, steps: Any) -> None:
    minibatches = value_rows(steps[0])
    exact = group(tiny_model, ranks, learner={"zero_stage": 0}).update_critic(minibatches)
    for stage in (0, 2, 3):
        rounded = group(
            tiny_model, ranks, dtype="bfloat16", learner={"zero_stage": stage}
        ).update_critic(minibatches)
        assert rounded["critic/vf_loss"] == pytest.approx(exact["critic/vf_loss"], rel=0.02)
        assert rounded["critic/grad_norm"] == pytest.approx(exact["critic/grad_norm"], rel=0.05)


def exercised(model: Path, recording: Path, folder: Path, num_ranks: int, **options: Any) -> Any:
    folder.mkdir()
    options["critic"] = CRITIC
    done = launch("critic_driver.py", num_ranks, model, recording, folder, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


@pytest.mark.engine
@pytest.mark.parametrize("stages", [(3,), pytest.param((0, 2), marks=pytest.mark.long)])
def test_two_ranks_equal_one_at_every_stage_and_a_checkpoint_changes_nothing(
    stages: Sequence[int], tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    alone = exercised(tiny_model, recording, tmp_path / "0", 1, learner={"zero_stage": 0})
    for stage in stages:
        learner = {"zero_stage": stage, "gradient_checkpointing": stage == 3}
        spread = exercised(tiny_model, recording, tmp_path / f"2_{stage}", 2, learner=learner)
        assert spread["metrics"][-1] == spread["straight"]
        for ours, theirs in zip(spread["metrics"], alone["metrics"], strict=True):
            assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
        ours, theirs = np.concatenate(spread["values"]), np.concatenate(alone["values"])
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-4)
    assert alone["metrics"][-1] == alone["straight"]
    losses = [metrics["critic/vf_loss"] for metrics in alone["metrics"]]
    assert losses[-1] < losses[0]
