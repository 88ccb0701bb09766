"""Updates on samples of another policy: what the corrections make of them, and who names them."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import AutoModelForCausalLM

from rl.learner.channel import Work
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.process_group import Ranks
from rl.learner.ranks import LearnerGroup
from rl.run.config import GuardsConfig
from rl.run.guards import Row as Metrics
from rl.run.guards import alarms
from tests.rl.learner.replay_driver import read_steps, run_config
from tests.rl.learner.test_zero_stages import assert_alike, replayed

pytestmark = pytest.mark.engine

CORRECTIONS: list[dict[str, Any]] = [
    {"name": "icepop", "lowest": 0.9, "highest": 1.1},
    {"name": "sequence_truncated"},
    {"name": "sequence_masked"},
    {"name": "geometric", "lowest": 0.99, "highest": 1.01},
    {"name": "k3"},
    {"name": "opsm", "highest": 0.01},
    {"name": "a3po"},
]
SHAPES = {"microbatches", "padding_share"}


def name_of(correction: dict[str, Any]) -> str:
    return str(correction["name"])


@pytest.fixture(scope="module")
def steps(recording: Path) -> Work:
    return read_steps(recording)


@pytest.fixture(scope="module")
def drifted_steps(drifted_recording: Path) -> Work:
    return read_steps(drifted_recording)


def learner(model: Path, ranks: Ranks, **options: Any) -> LearnerGroup:
    options["learner"] = {"zero_stage": 0} | options.get("learner", {})
    config = run_config(options)
    return LearnerGroup(DeepSpeedLearner(config, str(model), ranks), config, ranks)


def shifted(minibatches: Any, shift: float, age: int = 0) -> Any:
    """The same rows, the sampler's log-probs lower by `shift` at every second token."""

    def moved(row: Any) -> Any:
        places = np.arange(row.response_length)
        logprobs = row.sampler_logprobs - np.float32(shift) * (places % 2 == 0)
        return replace(row, sampler_logprobs=logprobs, ages=np.full_like(row.ages, age))

    return [[moved(row) for row in rows] for rows in minibatches]


@pytest.mark.parametrize("correction", CORRECTIONS, ids=name_of)
def test_microbatch_size_changes_no_correction(
    correction: dict[str, Any], tiny_model: Path, ranks: Ranks, drifted_steps: Work
) -> None:
    def update(max_tokens: int) -> dict[str, float]:
        sizes = {"max_tokens_per_microbatch": max_tokens}
        group = learner(tiny_model, ranks, learner=sizes, correction=correction)
        return group.update(drifted_steps[0])

    ours, theirs = update(40), update(10**6)
    assert ours["microbatches"] > theirs["microbatches"]
    assert ours["correction/weight_mean"] != 1
    for name in theirs.keys() - SHAPES:
        assert ours[name] == pytest.approx(theirs[name], rel=1e-5, abs=1e-6), name


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_a_batch_that_is_masked_as_a_whole_leaves_no_trace(
    stage: int, dtype: str, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    options: dict[str, Any] = {
        "learner": {"zero_stage": stage, "max_tokens_per_microbatch": 60},
        "algorithm": {"kl_coefficient": 0.1},
        "correction": {"name": "k3", "highest": 0.1},
        "dtype": dtype,
    }
    clean, hit = (learner(tiny_model, ranks, **options) for _ in range(2))
    before = clean.update(steps[0])
    assert hit.update(steps[0]) == before
    assert before["correction/masked_updates"] == 0
    masked = hit.update(shifted(steps[1], 3.0))
    assert masked["correction/masked_updates"] == 2
    assert masked["correction/masked_ratio"] == masked["correction/masked_sequences"] == 1
    assert masked["skipped_updates"] == masked["grad_norm"] == 0
    assert masked["loss"] > 0, "the divergence from the initial policy is still there"
    assert masked["weights/l2"] == before["weights/l2"]
    assert hit.update(steps[2]) == clean.update(steps[2])


def test_one_response_that_is_kept_makes_a_step(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    def update(num_kept: int) -> dict[str, float]:
        correction, algorithm = {"name": "k3", "highest": 0.1}, {"num_minibatches": 1}
        group = learner(tiny_model, ranks, correction=correction, algorithm=algorithm)
        (masked,) = shifted(steps[0][:1], 3.0)
        return group.update([[*steps[0][0][:num_kept], *masked[num_kept:]]])

    none, one = update(0), update(1)
    assert (none["correction/masked_updates"], one["correction/masked_updates"]) == (1, 0)
    assert none["grad_norm"] == 0 < one["grad_norm"]
    assert none["weights/l2"] != one["weights/l2"]


@pytest.fixture(scope="module")
def alone(
    tiny_model: Path, drifted_recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    output = tmp_path_factory.mktemp("alone") / "out.json"
    return replayed(tiny_model, drifted_recording, output, 1, {"correction": {"name": "k3"}})


def test_some_minibatches_of_the_replay_are_masked_in_part_and_some_as_a_whole(alone: Any) -> None:
    skipped = [metrics["correction/masked_updates"] for metrics in alone["metrics"]]
    assert skipped == [0, 2, 0, 0, 0]
    assert 0 < alone["metrics"][0]["correction/masked_sequences"] < 1


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_mask_and_skip_as_one_process(
    stage: int, alone: Any, tiny_model: Path, drifted_recording: Path, tmp_path: Path
) -> None:
    options = {"correction": {"name": "k3"}, "learner": {"zero_stage": stage}}
    spread = replayed(tiny_model, drifted_recording, tmp_path / "out.json", 2, options)
    assert_alike(spread, alone)
    names = [name for name in alone["metrics"][0] if name.startswith(("sampling/", "correction/"))]
    for ours, theirs in zip(spread["metrics"], alone["metrics"], strict=True):
        for name in names:
            assert ours[name] == pytest.approx(theirs[name], rel=1e-4, abs=1e-5), name


def test_an_interpolated_proximal_policy_gives_the_loss_of_a_slow_reference(
    tiny_model: Path, ranks: Ranks, drifted_steps: Work
) -> None:
    group = learner(
        tiny_model, ranks, correction={"name": "a3po"}, algorithm={"num_minibatches": 1}
    )
    rows = drifted_steps[0][0]
    expected = 0.0
    for row, policy in zip(rows, group.logprobs(rows), strict=True):
        for t in range(row.response_length):
            alpha = [0, 0, 1 / 2, 2 / 3][row.ages[t]]
            sampler = float(row.sampler_logprobs[t])
            proximal = sampler + alpha * (float(policy[t]) - sampler)
            ratio = np.exp(float(policy[t]) - proximal)
            weight = min(np.exp(proximal - sampler), 2.0)
            advantage = float(row.advantages[t])
            surrogate = min(ratio * advantage, np.clip(ratio, 0.8, 1.28) * advantage)
            expected -= row.weight * weight * surrogate
    assert group.update([rows])["loss"] == pytest.approx(expected, abs=1e-6)


def test_interpolation_spares_the_forward_pass_of_several_minibatches(
    tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    """Without it the second minibatch is measured against a policy that has been updated once, and
    has no part in what says whether the engine computes as the learner does."""
    truncated, a3po = (
        learner(tiny_model, ranks, correction={"name": name}).update(steps[0])
        for name in ("truncated", "a3po")
    )
    gap = "sampling/sampling_logp_difference/max"
    assert truncated[gap] < 2e-5 < 1e-3 < a3po[gap]
    assert 0 < a3po["sampling/fresh_ratio"] < truncated["sampling/fresh_ratio"]
    assert a3po["sampling/k3_kl_fresh"] < 1e-9 < a3po["sampling/k3_kl_stale"]


def named(metrics: dict[str, float]) -> list[str]:
    """The guards that would ring after three steps like this one."""
    rows: list[Metrics] = [{**metrics, "step": float(step)} for step in (1, 2, 3)]
    return [alarm.guard for alarm in alarms(rows, GuardsConfig())]


@pytest.mark.parametrize(("age", "guard"), [(0, "engine_mismatch"), (2, "stale_policy")])
def test_planted_log_probs_are_named_by_the_age_of_their_tokens(
    age: int, guard: str, tiny_model: Path, ranks: Ranks, steps: Work
) -> None:
    options = {"algorithm": {"num_minibatches": 1}}
    assert named(learner(tiny_model, ranks, **options).update(shifted(steps[0][:1], 0, age))) == []
    hit = learner(tiny_model, ranks, **options).update(shifted(steps[0][:1], 1.0, age))
    assert named(hit) == [guard]


def test_an_engine_whose_weights_differ_in_one_matrix_is_named(
    tiny_model: Path, ranks: Ranks, steps: Work, tmp_path: Path
) -> None:
    """The rows are the untouched model's own samples; the learner's last layer is off by a half."""
    model = AutoModelForCausalLM.from_pretrained(tiny_model)
    with torch.no_grad():
        model.get_parameter("model.layers.1.mlp.down_proj.weight").mul_(1.5)
    model.save_pretrained(tmp_path)
    options = {"algorithm": {"num_minibatches": 1}}
    assert named(learner(tiny_model, ranks, **options).update(steps[0][:1])) == []
    metrics = learner(tmp_path, ranks, **options).update(steps[0][:1])
    assert metrics["sampling/fresh_ratio"] == 1
    assert named(metrics) == ["engine_mismatch"]
