"""Five recorded steps of two minibatches end alike, however weights and rows are spread.

The learning rate is the lab's, 1.5e-4. Adam's first step turns a gradient of the size of its
epsilon (1e-8), which is rounding, into a step of the size of the learning rate: at 1e-3, the order
of summation alone moved one weight and some log-probs by 5e-5, within one process too.
"""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from tests.rl.learner.launch import launch

pytestmark = pytest.mark.engine

REGULARIZED = {"algorithm": {"entropy_coefficient": 0.01, "kl_coefficient": 0.1}}


def replayed(
    model: Path, recording: Path, output: Path, num_ranks: int, options: dict[str, Any]
) -> Any:
    """What the driver reports, run by `num_ranks` processes."""
    done = launch("replay_driver.py", num_ranks, model, recording, output, options)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(output.read_text())


def assert_alike(spread: Any, alone: Any) -> None:
    for ours, theirs in zip(spread["metrics"], alone["metrics"], strict=True):
        assert ours["grad_norm"] == pytest.approx(theirs["grad_norm"], rel=1e-5)
        assert ours["weights/l2"] == pytest.approx(theirs["weights/l2"], rel=1e-5)
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-5)
        assert ours["entropy"] == pytest.approx(theirs["entropy"], abs=1e-5)
    ours, theirs = np.concatenate(spread["logprobs"]), np.concatenate(alone["logprobs"])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    if spread["gradient_norms"]:
        assert spread["gradient_norms"] == pytest.approx(alone["gradient_norms"], rel=1e-4)


@pytest.fixture(scope="module")
def alone(tiny_model: Path, recording: Path, tmp_path_factory: pytest.TempPathFactory) -> Any:
    output = tmp_path_factory.mktemp("alone") / "out.json"
    return replayed(tiny_model, recording, output, 1, {"learner": {"zero_stage": 0}})


@pytest.mark.parametrize("stage", [0, 1, 2, 3])
def test_two_ranks_at_every_zero_stage_equal_one_process(
    stage: int, alone: Any, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    options = {"learner": {"zero_stage": stage}}
    assert_alike(replayed(tiny_model, recording, tmp_path / "out.json", 2, options), alone)


@pytest.fixture(scope="module")
def alone_on_trees(
    tiny_model: Path, tree_recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Any:
    output = tmp_path_factory.mktemp("alone_on_trees") / "out.json"
    return replayed(tiny_model, tree_recording, output, 1, REGULARIZED | {"learner": {}})


@pytest.mark.parametrize(
    "learner",
    [
        pytest.param({"zero_stage": 2}, marks=pytest.mark.long),
        pytest.param({"zero_stage": 3}, marks=pytest.mark.long),
        {"zero_stage": 3, "gradient_checkpointing": True},
    ],
)
def test_two_ranks_that_share_prefixes_equal_one_process_that_pads(
    learner: dict[str, Any],
    alone_on_trees: Any,
    tiny_model: Path,
    tree_recording: Path,
    tmp_path: Path,
) -> None:
    options = REGULARIZED | {"learner": learner | {"share_prefixes": True}}
    spread = replayed(tiny_model, tree_recording, tmp_path / "out.json", 2, options)
    assert_alike(spread, alone_on_trees)
    first, theirs = spread["metrics"][0], alone_on_trees["metrics"][0]
    assert first["loss"] == pytest.approx(theirs["loss"], abs=1e-6)
    assert first["shared_share"] > 0.2


@pytest.mark.parametrize(
    ("stage", "offload"),
    [
        pytest.param(1, "optimizer", marks=pytest.mark.long),
        (2, "optimizer"),
        pytest.param(3, "optimizer", marks=pytest.mark.long),
        pytest.param(3, "all", marks=pytest.mark.long),
    ],
)
def test_what_lies_in_the_hosts_memory_is_updated_as_elsewhere(
    stage: int, offload: str, alone: Any, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    options = {"learner": {"zero_stage": stage, "offload": offload}}
    assert_alike(replayed(tiny_model, recording, tmp_path / "out.json", 2, options), alone)


@pytest.mark.parametrize(
    ("num_ranks", "learner"),
    [
        pytest.param(2, {"zero_stage": 0}, marks=pytest.mark.long),
        (2, {"zero_stage": 2, "gradient_checkpointing": True}),
        # Two groups, with rows of their own.
        pytest.param(4, {"zero_stage": 3, "gradient_checkpointing": True}, marks=pytest.mark.long),
    ],
)
def test_sequences_that_pairs_of_ranks_cut_give_the_update_of_whole_ones(
    num_ranks: int,
    learner: dict[str, Any],
    alone: Any,
    tiny_model: Path,
    recording: Path,
    tmp_path: Path,
) -> None:
    options = {"learner": learner | {"sequence_parallel": 2}}
    cut = replayed(tiny_model, recording, tmp_path / "out.json", num_ranks, options)
    assert_alike(cut, alone)
    for ours, theirs in zip(cut["metrics"], alone["metrics"], strict=True):
        assert ours["loss"] == pytest.approx(theirs["loss"], abs=1e-6)


def test_gradient_checkpointing_under_zero_3_changes_nothing(
    alone: Any, tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    options = {"learner": {"zero_stage": 3, "gradient_checkpointing": True}}
    assert_alike(replayed(tiny_model, recording, tmp_path / "out.json", 2, options), alone)


@pytest.mark.parametrize(
    "learner",
    [{}, pytest.param({"sequence_parallel": 2, "offload": "all"}, marks=pytest.mark.long)],
)
def test_partitioned_reference_model_gives_the_divergence_of_a_whole_one(
    learner: dict[str, Any], tiny_tied_model: Path, recording: Path, tmp_path: Path
) -> None:
    algorithm = {"kl_coefficient": 0.1, "kl_estimator": "k2"}
    whole, spread = (
        replayed(
            tiny_tied_model,
            recording,
            tmp_path / f"{ranks}.json",
            ranks,
            {"learner": settings, "algorithm": algorithm},
        )
        for ranks, settings in ((1, {"zero_stage": 0}), (2, {"zero_stage": 3} | learner))
    )
    assert_alike(spread, whole)
    assert whole["metrics"][0]["kl"] < whole["metrics"][4]["kl"]
    for ours, theirs in zip(spread["metrics"], whole["metrics"], strict=True):
        assert ours["kl"] == pytest.approx(theirs["kl"], abs=1e-5)
    ours, theirs = np.concatenate(spread["reference"]), np.concatenate(whole["reference"])
    np.testing.assert_allclose(ours, theirs, rtol=0, atol=1e-5)
    assert np.abs(ours - np.concatenate(whole["logprobs"])).max() > 1e-3


def test_ratios_of_whole_answers_and_further_terms_do_not_see_how_rows_are_spread(
    tiny_model: Path, recording: Path, tmp_path: Path
) -> None:
    algorithm = {"clip_low": 0.2, "clip_high": 0.2, "entropy_coefficient": 0.01}
    algorithm["positive_coefficient"] = 0.3
    alone, spread = (
        replayed(
            tiny_model,
            recording,
            tmp_path / f"{ranks}.json",
            ranks,
            {"learner": {"zero_stage": stage}, "method": "gspo", "algorithm": algorithm},
        )
        for ranks, stage in ((1, 0), (2, 3))
    )
    assert_alike(spread, alone)
    for ours, theirs in zip(spread["metrics"], alone["metrics"], strict=True):
        assert ours["positive_nll"] == pytest.approx(theirs["positive_nll"], abs=1e-5)


def test_second_minibatch_leaves_the_ratio_of_one(alone: Any) -> None:
    for metrics in alone["metrics"]:
        assert metrics["ratio/min"] < 0.995
        assert metrics["ratio/max"] > 1.005
