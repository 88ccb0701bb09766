"""Devices and processes, as files and the environment describe them."""

from pathlib import Path

import pytest

from rl.cli.machine import Machine, chosen_placement, count_gpus, this_machine
from rollout.config import Placement


def test_gpus_are_nvidias_numbered_device_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("CUDA_VISIBLE_DEVICES", raising=False)
    for name in ("nvidia0", "nvidia1", "nvidiactl", "nvidia-uvm"):
        (tmp_path / name).touch()
    assert count_gpus(tmp_path) == 2


@pytest.mark.parametrize(("visible", "count"), [("0,3", 2), ("", 0), ("-1", 0)])
def test_visible_devices_decide(
    visible: str, count: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", visible)
    assert count_gpus(tmp_path) == count


def test_torchruns_variables_are_read(monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in {"WORLD_SIZE": "8", "LOCAL_WORLD_SIZE": "4", "RANK": "5"}.items():
        monkeypatch.setenv(name, value)
    machine = this_machine(num_gpus=8)
    assert (machine.num_learners, machine.num_local_learners, machine.rank) == (8, 4, 5)


@pytest.mark.parametrize(
    ("num_gpus", "learners", "placement"),
    [(0, 2, Placement.cpu), (8, 4, Placement.separate), (8, 8, Placement.shared)],
)
def test_placement_follows_from_the_devices(
    num_gpus: int, learners: int, placement: Placement
) -> None:
    machine = Machine(num_cores=8, num_gpus=num_gpus, num_local_learners=learners)
    assert chosen_placement(Placement.auto, machine) is placement


def test_chosen_placement_is_kept() -> None:
    assert chosen_placement(Placement.cpu, Machine(num_cores=8, num_gpus=8)) is Placement.cpu
