"""The learner in one process against plain torch, and what must not change an update."""

import random
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.algorithms.aggregation import token_mean
from rl.config import RunConfig
from rl.learner.batch import Row, weighted
from rl.learner.channel import Work
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from tests.rl.learner.conftest import GROUP_SIZE, shared
from tests.rl.learner.replay_driver import read_steps, run_config

pytestmark = pytest.mark.engine


@pytest.fixture(scope="module")
def steps(recording: Path) -> Work:
    return read_steps(recording)


def group(model: Path, ranks: Ranks, **options: Any) -> LearnerGroup:
    options["learner"] = {"zero_stage": 0} | options.get("learner", {})
    config = run_config(options)
    return LearnerGroup(DeepSpeedLearner(config, str(model), ranks), config, ranks)


def slow_update(
    model_path: Path, minibatches: list[list[Row]], config: RunConfig
) -> tuple[list[float], list[float], float]:
    """Losses, gradient norms and final norm of weights: plain torch, one row at a time."""
    model = AutoModelForCausalLM.from_pretrained(model_path)
    optimizer = torch.optim.AdamW(
        model.parameters(), lr=config.learner.learning_rate, weight_decay=0.0
    )

    def logprobs(row: Row) -> torch.Tensor:
        ids = torch.from_numpy(row.token_ids.astype(np.int64))
        table = model(ids[None]).logits[0, row.prompt_length - 1 : -1].log_softmax(-1)
        return table.gather(1, ids[row.prompt_length :, None])[:, 0]

    with torch.no_grad():
        old = [[logprobs(row) for row in rows] for rows in minibatches]
    losses, norms = [], []
    for rows, old_rows in zip(minibatches, old, strict=True):
        total = torch.zeros(())
        for row, before in zip(rows, old_rows, strict=True):
            ratio = (logprobs(row) - before).exp()
            advantage = torch.from_numpy(row.advantages)
            clipped = ratio.clamp(1 - config.algorithm.clip_low, 1 + config.algorithm.clip_high)
            total = total - row.weight * torch.minimum(ratio * advantage, clipped * advantage).sum()
            imitated = logprobs(row)[row.right].sum()
            total = total - config.algorithm.positive_coefficient * row.right_weight * imitated
        optimizer.zero_grad()
        total.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), 0.3).item())
        optimizer.step()
        losses.append(total.item())
    squares = sum(p.double().square().sum().item() for p in model.parameters())
    return losses, norms, squares**0.5


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_an_update_is_what_plain_torch_does(
    stage: int, tiny_tied_model: Path, ranks: Ranks, steps: Work
) -> None:
    options = {
        "learner": {"zero_stage": stage, "max_grad_norm": 0.3},
        "algorithm": {"positive_coefficient": 0.3},
    }
    metrics = group(tiny_tied_model, ranks, **options).update(steps[0])
    losses, norms, l2 = slow_update(tiny_tied_model, steps[0], run_config(options))
    assert min(norms) > 0.3  # so that clipping is part of what is compared
    assert metrics["loss"] == pytest.approx(np.mean(losses), abs=1e-6)
    assert metrics["grad_norm"] == pytest.approx(np.mean(norms), rel=1e-5)
    assert metrics["weights/l2"] == pytest.approx(l2, rel=1e-7)


@pytest.mark.parametrize("method", ["grpo", "gspo", "gmpo"])
def test_microbatch_size_and_chunking_change_nothing(
    method: str, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    algorithm = {"entropy_coefficient": 0.01, "positive_coefficient": 0.3}
    ours, theirs = (
        group(tiny_model, ranks, method=method, algorithm=algorithm, learner=learner).update(
            steps[0]
        )
        for learner in (
            {"max_tokens_per_microbatch": 40, "logprob_chunk_tokens": 7},
            {"max_tokens_per_microbatch": 10**6},
        )
    )
    assert ours["microbatches"] > theirs["microbatches"] == 2
    assert ours["padding_share"] < theirs["padding_share"]
    for name in theirs.keys() - {"microbatches", "padding_share"}:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("num_branches", [None, GROUP_SIZE, 2], ids=["packed", "groups", "trees"])
def test_sharing_prefixes_changes_nothing(
    num_branches: int | None, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    minibatches = [shared(rows, num_branches) for rows in steps[0]] if num_branches else steps[0]
    algorithm = {"entropy_coefficient": 0.01, "kl_coefficient": 0.1}
    padded, sharing = (
        group(tiny_model, ranks, algorithm=algorithm, learner={"share_prefixes": share})
        for share in (False, True)
    )
    for _ in range(2):
        theirs, ours = padded.update(minibatches), sharing.update(minibatches)
        assert ours.pop("padding_share") == 0 < theirs["padding_share"]
        assert (ours.pop("shared_share") > 0.1) == (num_branches is not None)
        for name in ours.keys() - {"microbatches"}:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name
    rows = [row for minibatch in minibatches for row in minibatch]
    for ours, theirs in zip(sharing.logprobs(rows), padded.logprobs(rows), strict=True):
        np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    norms = padded.gradient_norms(rows)
    assert sharing.gradient_norms(rows) == pytest.approx(norms, rel=1e-4)


def test_permuting_rows_changes_nothing(tiny_model: Path, ranks: Ranks, steps: Work) -> None:
    shuffled = [random.Random(0).sample(rows, len(rows)) for rows in steps[0]]
    ours = group(tiny_model, ranks).update(shuffled)
    theirs = group(tiny_model, ranks).update(steps[0])
    for name in theirs.keys() - {"microbatches", "padding_share"}:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name


def test_log_probs_come_back_in_the_order_of_the_rows(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    rows = [row for minibatch in steps[0] for row in minibatch]
    found = group(tiny_model, ranks, learner={"max_tokens_per_microbatch": 60}).logprobs(rows)
    for row, logprobs in zip(rows, found, strict=True):
        np.testing.assert_allclose(logprobs, row.sampler_logprobs, rtol=0, atol=2e-5)


def test_injected_tokens_never_matter(tiny_model: Path, ranks: Ranks, steps: Work) -> None:
    def garbled(row: Row, advantage: float) -> Row:
        mask, advantages = row.mask.copy(), row.advantages.copy()
        mask[0], advantages[0] = False, advantage
        sampler = row.sampler_logprobs.copy()
        sampler[0] = advantage
        return replace(row, mask=mask, advantages=advantages, sampler_logprobs=sampler)

    ours, theirs = (
        group(tiny_model, ranks, algorithm={"num_minibatches": 1}).update(
            [weighted([garbled(row, value) for row in steps[0][0]], token_mean)]
        )
        for value in (0.0, -1e6)
    )
    assert ours == theirs


def test_one_minibatch_is_on_policy(tiny_model: Path, ranks: Ranks, steps: Work) -> None:
    metrics = group(tiny_model, ranks, algorithm={"num_minibatches": 1}).update(steps[0][:1])
    assert (metrics["ratio/min"], metrics["ratio/max"]) == (1.0, 1.0)
    assert metrics["clip_ratio/region_mean"] == 0.0
    assert metrics["sampling/sampling_logp_difference/max"] < 2e-5


def test_warm_up_counts_training_steps_of_several_minibatches(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    learner = {"warmup_steps": 2, "schedule": "linear", "learning_rate": 1e-3}
    trained = group(tiny_model, ranks, learner=learner)
    rates = [trained.update(minibatches)["learning_rate"] for minibatches in steps]
    # Ten updates, four of them warm-up; the last update of each step is reported.
    expected = [0.5e-3, 1e-3, 5 / 6 * 1e-3, 3 / 6 * 1e-3, 1 / 6 * 1e-3]
    assert rates == pytest.approx(expected)


def test_adapters_train_while_the_base_stays(tiny_model: Path, ranks: Ranks, steps: Work) -> None:
    options = {
        "learner": {"lora": {"rank": 4}, "learning_rate": 1e-2, "gradient_checkpointing": True}
    }
    trained = group(tiny_model, ranks, algorithm={"kl_coefficient": 0.1}, **options)
    first = trained.update(steps[0])
    second = trained.update(steps[1])
    assert 0 < first["kl"] < second["kl"]
    changed = trained.fingerprints(lambda name, tensor: tensor.clone())
    base = AutoModelForCausalLM.from_pretrained(tiny_model).state_dict()
    assert changed.keys() == base.keys()
    assert not torch.equal(
        changed["model.layers.0.mlp.up_proj.weight"], base["model.layers.0.mlp.up_proj.weight"]
    )
    assert torch.equal(changed["model.embed_tokens.weight"], base["model.embed_tokens.weight"])


@pytest.mark.parametrize(
    "learner", [{"zero_stage": 0}, {"zero_stage": 3}, {"lora": {"rank": 4}, "learning_rate": 1e-2}]
)
def test_the_reference_stays_the_initial_policy_while_the_policy_moves(
    learner: dict[str, Any], tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    trained = group(tiny_model, ranks, algorithm={"kl_reward_coefficient": 0.1}, learner=learner)
    rows = [row for minibatch in steps[0] for row in minibatch]
    metrics = trained.update(steps[0])
    assert "kl" not in metrics
    moved, reference = trained.logprobs(rows), trained.reference_logprobs(rows)
    for row, found, now in zip(rows, reference, moved, strict=True):
        np.testing.assert_allclose(found, row.sampler_logprobs, rtol=0, atol=2e-5)
        assert np.abs(now - found).max() > 1e-4


def test_an_entropy_bonus_leaves_the_policy_more_uncertain(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    after = [
        group(
            tiny_model,
            ranks,
            algorithm={"num_minibatches": 1, "entropy_coefficient": coefficient},
            learner={"learning_rate": 1e-3},
        )
        for coefficient in (0.0, 1.0)
    ]
    entropies = [[g.update(s[:1])["entropy"] for s in (steps[0], steps[0])] for g in after]
    assert entropies[0][0] == pytest.approx(entropies[1][0])
    assert entropies[1][1] > entropies[0][1] + 0.01


def test_imitation_reports_how_unlikely_right_answers_are_and_makes_them_likelier(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    minibatch = [replace(row, advantages=0 * row.advantages) for row in steps[0][0]]
    algorithm = {"num_minibatches": 1, "positive_coefficient": 0.1}
    trained = group(tiny_model, ranks, algorithm=algorithm, learner={"learning_rate": 1e-3})
    first, second = trained.update([minibatch]), trained.update([minibatch])
    sampled = np.concatenate([row.sampler_logprobs[row.right] for row in minibatch])
    assert first["positive_nll"] == pytest.approx(-sampled.mean(), abs=1e-5)
    assert first["loss"] == pytest.approx(0.1 * first["positive_nll"], rel=1e-5)
    assert second["positive_nll"] < first["positive_nll"] - 0.01


@pytest.mark.parametrize("share_prefixes", [False, True])
def test_bfloat16_follows_float32(
    share_prefixes: bool, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    exact = group(tiny_model, ranks).update(steps[0])
    for stage in (0, 1, 2, 3):
        learner = {"zero_stage": stage, "share_prefixes": share_prefixes}
        rounded = group(tiny_model, ranks, dtype="bfloat16", learner=learner).update(steps[0])
        assert rounded["loss"] == pytest.approx(exact["loss"], abs=0.01)
        assert rounded["grad_norm"] == pytest.approx(exact["grad_norm"], rel=0.05)


def test_values_need_a_critic(tiny_model: Path, ranks: Ranks, steps: Work) -> None:
    with pytest.raises(ValueError, match="GrpoConfig has no critic"):
        group(tiny_model, ranks).values(steps[0][0])
