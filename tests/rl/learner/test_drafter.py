"""The draft model's learner against plain torch, and what must not change its update."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import AutoModelForCausalLM

from rl.algorithms.aggregation import token_mean
from rl.algorithms.draft_losses import acceptance, forward_kl, reverse_kl, tvd_plus_plus
from rl.learner.batch import Row, dummy_row, even_minibatches
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.drafter import DraftModel
from rl.learner.flat import flatten
from rl.learner.policy import output_weight, pad_rows, response_states
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.rl.learner.conftest import save_tiny_model
from tests.rl.learner.launch import launch
from tests.rl.learner.replay_driver import read_steps, run_config

CPU = torch.device("cpu")
TEMPERATURE = 0.7
RATE = 1e-3


@pytest.fixture(scope="module")
def draft_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as small as the policy, tied, with other random weights."""
    return save_tiny_model(tmp_path_factory.mktemp("draft"), tied=True, seed=1)


@pytest.fixture(scope="module")
def rows(recording: Path) -> list[Row]:
    """Twelve rows, some tokens of which nobody sampled, weighted over their tokens."""
    found = read_steps(recording)[0][0]
    random = np.random.default_rng(3)
    masked = [replace(row, mask=random.random(row.response_length) < 0.8) for row in found]
    (weighted,) = even_minibatches(masked, 1, token_mean)
    return weighted


def load(folder: Path) -> Any:
    return AutoModelForCausalLM.from_pretrained(folder, dtype=torch.float32).eval()


def slow_logits(model: Any, row: Row) -> Tensor:
    """Logits [T, V] of the sampled tokens of one row under its mask, by the model on it alone."""
    ids = torch.from_numpy(row.token_ids.astype(np.int64))
    logits = model(ids[None]).logits[0, row.prompt_length - 1 : -1]
    return (logits / TEMPERATURE)[torch.from_numpy(row.mask)]


def compared(drafts: DraftModel, policy: Any, micro: list[Row]) -> Any:
    batch = pad_rows(micro, CPU)
    with torch.no_grad():
        states = response_states(policy, batch)
    return drafts(batch, states, output_weight(policy).detach())


def gradients(model: Any) -> Tensor:
    return torch.cat([p.grad.flatten() for p in model.parameters()])


@pytest.mark.parametrize("loss", [forward_kl, reverse_kl, tvd_plus_plus])
@pytest.mark.parametrize(("chunk", "size"), [(3, 12), (7, 5), (10**6, 1)])
def test_gradient_is_that_of_whole_logits_however_tokens_and_rows_are_cut(
    loss: Any, chunk: int, size: int, tiny_model: Path, draft_folder: Path, rows: list[Row]
) -> None:
    policy, ours, theirs = load(tiny_model), load(draft_folder), load(draft_folder)
    drafts, total = DraftModel(ours, loss, TEMPERATURE, chunk), 0.0
    for start in range(0, len(rows), size):
        flat = flatten(micro := rows[start : start + size], CPU)
        losses = compared(drafts, policy, micro).losses
        part = (flat.weights * losses.masked_fill(~flat.mask, 0.0)).sum()
        part.backward()
        total += part.item()
    pairs = [(slow_logits(theirs, row), slow_logits(policy, row)) for row in rows]
    slow = torch.cat([loss(draft, wanted) for draft, wanted in pairs]).mean()
    slow.backward()
    assert total == pytest.approx(slow.item(), abs=1e-6)
    assert all(parameter.grad is None for parameter in policy.parameters())
    assert (gradients(ours) - gradients(theirs)).norm() <= 1e-5 * gradients(theirs).norm()


def test_chance_of_acceptance_is_that_of_the_two_distributions(
    tiny_model: Path, draft_folder: Path, rows: list[Row]
) -> None:
    policy, draft = load(tiny_model), load(draft_folder)
    found = compared(DraftModel(draft, forward_kl, TEMPERATURE, 4), policy, rows).acceptances
    mask = flatten(rows, CPU).mask
    slow = [acceptance(slow_logits(draft, row), slow_logits(policy, row)) for row in rows]
    torch.testing.assert_close(found[mask], torch.cat(slow), rtol=0, atol=1e-5)


def test_a_dummy_row_gives_every_parameter_a_zero_gradient(
    tiny_model: Path, draft_folder: Path
) -> None:
    drafts = DraftModel(load(draft_folder), forward_kl, TEMPERATURE, 4)
    (0 * compared(drafts, load(tiny_model), [dummy_row()]).losses).sum().backward()
    assert all(p.grad is not None and not p.grad.any() for p in drafts.parameters())


def group(policy: Path, drafter: Path, ranks: Ranks, **options: Any) -> LearnerGroup:
    """A learner of both, of which only the draft model moves here."""
    learner = {"draft_model": {"learning_rate": RATE}, **options.pop("learner", {})}
    config = run_config({"learner": learner, "drafter": str(drafter), **options})
    return LearnerGroup(DeepSpeedLearner(config, str(policy), ranks, str(drafter)), config, ranks)


def slow_update(
    policy: Path, drafter: Path, minibatches: list[list[Row]]
) -> tuple[list[float], list[float], Any]:
    """Losses, gradient norms and the model afterwards: plain torch, one row at a time."""
    teacher, model = load(policy), load(drafter)
    optimizer = torch.optim.AdamW(model.parameters(), lr=RATE, weight_decay=0.0)
    losses, norms = [], []
    for rows in minibatches:
        with torch.no_grad():
            wanted = [slow_logits(teacher, row) for row in rows]
        pairs = zip(rows, wanted, strict=True)
        total = torch.cat([forward_kl(slow_logits(model, row), p) for row, p in pairs]).mean()
        optimizer.zero_grad()
        total.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3).item())
        optimizer.step()
        losses.append(total.item())
    return losses, norms, model


class Kept:
    """A transfer that keeps what is sent, of the policy and of its drafter."""

    def __init__(self) -> None:
        self.policy: dict[str, Tensor] = {}
        self.drafter: dict[str, Tensor] = {}
        self._held = False

    def start(self) -> bool:
        self._sent = self.policy
        return self._held

    def send(self, bucket: Any) -> None:
        self._sent |= {name: tensor.clone() for name, tensor in bucket}

    def turn_to_drafter(self) -> None:
        self._sent = self.drafter

    def finish(self, version: int) -> None:
        self._held = True


@pytest.mark.engine
@pytest.mark.parametrize("stage", [0, 2])
def test_an_update_is_what_plain_torch_does_and_its_weights_are_published(
    stage: int, tiny_model: Path, draft_folder: Path, ranks: Ranks, rows: list[Row]
) -> None:
    learner = {"zero_stage": stage, "max_grad_norm": 0.3}
    rollout = {"temperature": TEMPERATURE}
    trained = group(tiny_model, draft_folder, ranks, learner=learner, rollout=rollout)
    transfer, minibatches = Kept(), even_minibatches(rows, 3, token_mean)
    before = trained.publish(transfer, 1)
    metrics = trained.update_drafter(minibatches)
    losses, norms, model = slow_update(tiny_model, draft_folder, minibatches)
    assert max(norms) > 0.3  # so that clipping is part of what is compared
    assert metrics["draft_model/loss"] == pytest.approx(np.mean(losses), rel=1e-5)
    assert metrics["draft_model/grad_norm"] == pytest.approx(np.mean(norms), rel=1e-4)
    assert 0 < metrics["draft_model/acceptance"] < 1
    after = trained.publish(transfer, 2)
    wanted = dict(model.named_parameters())
    assert list(transfer.drafter) == list(wanted)
    for name, tensor in transfer.drafter.items():
        torch.testing.assert_close(tensor, wanted[name].detach(), rtol=0, atol=2e-5)
    policy = dict(load(tiny_model).named_parameters())
    assert all(torch.equal(tensor, policy[name]) for name, tensor in transfer.policy.items())
    assert before["sync/tensors"] == after["sync/tensors"] == len(policy) + len(wanted)
    assert trained.publish(transfer, 3)["sync/tensors"] == 0


@pytest.mark.engine
def test_bfloat16_follows_float32(
    tiny_model: Path, draft_folder: Path, ranks: Ranks, rows: list[Row]
) -> None:
    minibatches = even_minibatches(rows, 2, token_mean)
    exact = group(tiny_model, draft_folder, ranks, learner={"zero_stage": 0})
    wanted = exact.update_drafter(minibatches)
    for stage in (0, 2):
        rounded = group(
            tiny_model, draft_folder, ranks, dtype="bfloat16", learner={"zero_stage": stage}
        )
        found = rounded.update_drafter(minibatches)
        assert found["draft_model/loss"] == pytest.approx(wanted["draft_model/loss"], rel=0.02)


def exercised(
    policy: Path, drafter: Path, recording: Path, folder: Path, num_ranks: int, stage: int
) -> Any:
    folder.mkdir()
    learner = {"zero_stage": stage, "draft_model": {"learning_rate": RATE}}
    options = {"learner": learner, "drafter": str(drafter)}
    done = launch("drafter_driver.py", num_ranks, policy, recording, folder, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads((folder / "out.json").read_text())


@pytest.mark.engine
def test_two_ranks_equal_one_and_a_checkpoint_changes_nothing(
    tiny_model: Path, draft_folder: Path, recording: Path, tmp_path: Path
) -> None:
    both = tiny_model, draft_folder, recording
    alone = exercised(*both, tmp_path / "0", 1, 0)
    spread = exercised(*both, tmp_path / "2", 2, 2)
    for found in (alone, spread):
        assert found["metrics"][-1] == found["straight"]
    for ours, theirs in zip(spread["metrics"], alone["metrics"], strict=True):
        assert ours == pytest.approx(theirs, rel=1e-4, abs=1e-5)
    first, last = alone["metrics"][0], alone["metrics"][-1]
    assert last["draft_model/loss"] < first["draft_model/loss"]
    assert last["draft_model/acceptance"] > first["draft_model/acceptance"]
