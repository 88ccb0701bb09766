"""The plan of a run: who sits on which device, and how many tokens a step has."""

from pathlib import Path

import pytest

from rl.cli.compose import compose
from rl.cli.machine import Machine
from rl.cli.main import main
from rl.cli.plan import engine_devices, plan_text, tokens_per_step

ROOT = Path(__file__).resolve().parents[3]
QUICKSTART = ROOT / "recipes" / "quickstart.yaml"
LARGE = ROOT / "recipes" / "grpo_lambda.yaml"
EIGHT = Machine(num_cores=16, num_gpus=8, num_local_learners=4, num_learners=4)


def test_devices_that_the_learner_leaves_hold_engines() -> None:
    assert engine_devices(compose(LARGE, [], EIGHT).config, EIGHT) == [4, 5, 6, 7]
    some = compose(LARGE, ["rollout.devices=2"], EIGHT).config
    assert engine_devices(some, EIGHT) == [4, 5]
    shared = compose(LARGE, ["rollout.placement=shared"], EIGHT).config
    assert engine_devices(shared, EIGHT) == [0, 1, 2, 3]


def test_tokens_of_a_step_are_prompts_times_completions_times_limit() -> None:
    config = compose(
        QUICKSTART,
        ["prompts_per_step=3", "algorithm.group_size=4", "limit.max_response_tokens=10"],
        Machine(num_cores=2, num_gpus=0),
    ).config
    assert tokens_per_step(config) == 3 * 4 * 10


def test_plan_has_a_row_for_every_role_on_every_device() -> None:
    text = plan_text(LARGE, compose(LARGE, [], EIGHT).config, EIGHT)
    rows = [line.split("  ")[0] for line in text.splitlines() if line.startswith("gpu:")]
    assert rows == [f"gpu:{index}" for index in range(8)]
    assert text.count("learner rank") == 4


def test_plan_on_the_cpu_puts_learner_and_engine_there() -> None:
    machine = Machine(num_cores=2, num_gpus=0)
    text = plan_text(QUICKSTART, compose(QUICKSTART, [], machine).config, machine)
    rows = [line for line in text.splitlines() if line.startswith("cpu ")]
    assert [row.split()[1] for row in rows] == ["learner", "engine"]


def test_engine_in_the_learners_process_is_planned_there() -> None:
    for num_gpus, device in ((0, "cpu"), (1, "gpu:0")):
        machine = Machine(num_cores=2, num_gpus=num_gpus)
        config = compose(QUICKSTART, ["rollout=transformers"], machine).config
        text = plan_text(QUICKSTART, config, machine)
        rows = [line for line in text.splitlines() if line.startswith(device)]
        assert ["engine, in learner rank 0" in row for row in rows] == [False, True]


def test_what_is_offloaded_is_not_a_devices() -> None:
    """1,777.1M parameters on four ranks: 2 bytes of weights, 4 of gradients, 12 of Adam each."""
    config = compose(LARGE, ["learner.zero_stage=3", "learner.offload=all"], EIGHT).config
    [row] = [x for x in plan_text(LARGE, config, EIGHT).splitlines() if "learner rank 0" in x]
    assert "  13.4 GiB  " in row and "buckets 1.9 GiB" in row
    assert row.endswith("; 7.4 GiB of these in the host's memory, left out of the sum")


def test_learners_that_cut_sequences_have_twice_the_tokens_in_common() -> None:
    config = compose(LARGE, ["learner.sequence_parallel=2"], EIGHT).config
    assert plan_text(LARGE, config, EIGHT).splitlines()[-1] == (
        "sequences: cut over 2 learner processes, which pass up to 65,536 tokens forward together"
    )


def test_plan_of_a_wrong_recipe_exits_with_2(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(
            [
                "plan",
                str(LARGE),
                "--gpus",
                "4",
                "--nproc-per-node",
                "4",
                "rollout.placement=separate",
            ]
        )
    assert stop.value.code == 2
    assert "overlap on 4 GPUs" in capsys.readouterr().err


def test_plan_counts_the_processes_that_cut_sequences(capsys: pytest.CaptureFixture[str]) -> None:
    asked = ["plan", str(LARGE), "--gpus", "8", "learner.sequence_parallel=2", "--nproc-per-node"]
    with pytest.raises(SystemExit) as stop:
        main([*asked, "3"])
    assert stop.value.code == 2
    assert "learner.sequence_parallel=2 with 3 learner process(es)" in capsys.readouterr().err


def test_command_says_which_option_it_does_not_know(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as stop:
        main(["plan", str(QUICKSTART), "--gpu", "4", "--what"])
    assert stop.value.code == 2
    assert "unknown option --what" in capsys.readouterr().err


def test_replicas_found_by_their_addresses_have_a_row_each() -> None:
    machine = Machine(num_cores=2, num_gpus=0)
    overrides = ["rollout.placement=remote", "rollout.urls=[http://a:1,http://b:1]"]
    text = plan_text(QUICKSTART, compose(QUICKSTART, overrides, machine).config, machine)
    rows = [line for line in text.splitlines() if line.startswith("http://")]
    assert [row.split("  ")[:2] for row in rows] == [
        ["http://a:1", "engine, served"], ["http://b:1", "engine, served"]
    ]  # fmt: skip


def test_replicas_of_the_cpu_share_its_threads() -> None:
    machine = Machine(num_cores=9, num_gpus=0)
    text = plan_text(
        QUICKSTART, compose(QUICKSTART, ["rollout.replicas=2"], machine).config, machine
    )
    assert "4 for each engine" in text
    assert sum(line.startswith("cpu ") and "engine" in line for line in text.splitlines()) == 2


def test_a_draft_model_is_named_as_not_counted() -> None:
    drafting = ["rollout.speculation=draft_model", "rollout.draft_model.path=lab:short_tied"]
    for overrides in ([], drafting):
        config = compose(QUICKSTART, overrides, EIGHT).config
        text = plan_text(QUICKSTART, config, EIGHT)
        named = "short_tied: what it takes is not counted above" in text
        assert named == bool(overrides)
