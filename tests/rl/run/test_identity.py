from dataclasses import replace
from pathlib import Path

import pytest

from rewards.length.sigmoid import SigmoidConfig
from rl.config import LogConfig, RunConfig, RunSection
from rl.run.identity import differences, identity, may_change, run_of
from rollout.config import VllmConfig


def test_a_longer_run_elsewhere_is_the_same_run() -> None:
    config = RunConfig()
    moved = replace(
        config, num_steps=500, log=LogConfig(project="other"), run=RunSection(dir="x"), resume="x"
    )
    assert identity(config) == identity(moved)


def test_what_differs_is_named_with_both_values() -> None:
    saved, present = identity(RunConfig(seed=1)), identity(RunConfig(prompts_per_step=8))
    assert differences(saved, present) == (
        "seed=1, prompts_per_step=32",
        "seed=0, prompts_per_step=8",
    )


def test_another_option_of_a_group_is_named_by_its_class() -> None:
    saved, present = identity(RunConfig()), identity(RunConfig(reward=SigmoidConfig()))
    assert differences(saved, present) == ("reward=RewardConfig", "reward=SigmoidConfig")


def test_a_setting_that_an_older_version_did_not_know_is_no_difference() -> None:
    present = identity(RunConfig())
    saved = {key: value for key, value in present.items() if key != "algorithm.clip_low"}
    assert differences(saved, present) == ("", "")


def test_thread_counts_belong_to_a_deterministic_run(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "2")
    saved = identity(RunConfig(deterministic=True, rollout=VllmConfig(num_threads=1)))
    monkeypatch.setenv("OMP_NUM_THREADS", "8")
    present = identity(RunConfig(deterministic=True, rollout=VllmConfig(num_threads=1)))
    assert differences(saved, present) == ("learner.num_threads=2", "learner.num_threads=8")
    assert "learner.num_threads" not in identity(RunConfig())


@pytest.mark.parametrize(
    ("deterministic", "expected"),
    [
        (True, ("number of learner processes=1", "number of learner processes=4")),
        (False, ("", "")),
    ],
)
def test_the_number_of_processes_belongs_to_a_deterministic_run(
    deterministic: bool, expected: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    saved = identity(RunConfig(deterministic=deterministic))
    monkeypatch.setenv("WORLD_SIZE", "4")
    assert differences(saved, identity(RunConfig(deterministic=deterministic))) == expected


@pytest.mark.parametrize(
    ("key", "expected"),
    [("num_steps", True), ("log.wandb", True), ("logs", False), ("learner.num_threads", True)],
)
def test_sections_and_keys_that_may_change(key: str, expected: bool) -> None:
    assert may_change(key) is expected


def test_a_checkpoint_lies_in_its_run() -> None:
    run = Path("/runs/a")
    assert run_of(run) == run_of(run / "checkpoints" / "step_4") == run
