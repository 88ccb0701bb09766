"""A run that goes from two ranks to one and back, against one that stays on two.

Weight decay is so large, and other for matrices than for vectors, that a group of the optimizer
with the other's settings ends elsewhere.
"""

from collections.abc import Callable, Iterable
from functools import cache
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import pytest

from rl.errors import CheckpointError
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.universal import check_space
from tests.rl.learner.launch import launch
from tests.rl.run.struck import tensors

LEARNER = {"learning_rate": 1e-3, "weight_decay": 5.0}
LEGS = ((2, "", "two"), (1, "two", "one"), (2, "one", "back"))
"""Ranks, the checkpoint that is loaded, and the one that is saved before anything is trained."""


def case(stage: int, learner: dict[str, Any] | None = None, **options: Any) -> dict[str, Any]:
    return {"learner": LEARNER | {"zero_stage": stage} | (learner or {}), **options}


EXACT = {
    "stage 0": case(0),
    "stage 1": case(1),
    "stage 2": case(2),
    "stage 3": case(3),
    "critic, stage 3": case(3, critic={"learning_rate": 1e-3}),
    "critic on the policy's states, stage 3": case(
        3, critic={"learning_rate": 1e-3, "backbone": "shared"}
    ),
    "adapters, stage 3": case(3, {"lora": {"rank": 4}}),
}
ROUNDED = {f"bfloat16, stage {stage}": case(stage, dtype="bfloat16") for stage in (1, 3)}
QUICK = "stage 3"
"""The case that is converted and repaired most: alone in three launches of its own."""


def marked(names: Iterable[str]) -> list[Any]:
    """Parameters of a test: `QUICK` in every `make test`, the others among the long tests."""
    return [pytest.param(n, marks=() if n == QUICK else pytest.mark.long) for n in names]


class Run(NamedTuple):
    """What the three legs have left, and DeepSpeed's files of the first as they were saved."""

    folder: Path
    saved: dict[str, bytes]


def content(folder: Path) -> dict[str, bytes]:
    return {str(path): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


@pytest.fixture(scope="module")
def run_of(
    tiny_model: Path, recording: Path, tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], Run]:
    """The run of a case by its name; all cases but `QUICK` are launched together."""

    @cache
    def runs(quick: bool) -> dict[str, Run]:
        root, saved = tmp_path_factory.mktemp("runs"), {}
        cases = {n: each for n, each in (EXACT | ROUNDED).items() if (n == QUICK) == quick}
        for name in cases:
            (root / name).mkdir()
        for num_ranks, load, save in LEGS:
            leg = {"cases": cases, "load": load, "save": save}
            done = launch("reranks_driver.py", num_ranks, tiny_model, recording, root, leg)
            assert done.returncode == 0, done.stderr[-3000:]
            saved = saved or {name: content(root / name / "two") for name in cases}
        return {name: Run(root / name, saved[name]) for name in cases}

    return lambda name: runs(name == QUICK)[name]


def distance(folder: Path, ours: str, theirs: str) -> float:
    """Largest relative distance of a tensor in the one file from that in the other."""
    one, other = (np.load(folder / f"{name}.npz") for name in (ours, theirs))
    assert one.files == other.files
    norm = np.linalg.norm
    # A bias under adapters is 0 and stays so.
    return float(max(norm(one[key] - other[key]) / (norm(other[key]) or 1) for key in one.files))


@pytest.mark.engine
@pytest.mark.parametrize("name", marked(EXACT))
@pytest.mark.parametrize("leg", ["one", "back"])
def test_training_goes_on_as_if_the_ranks_had_not_changed(
    name: str, leg: str, run_of: Callable[[str], Run]
) -> None:
    assert distance(run_of(name).folder, leg, "two") < 1e-4


@pytest.mark.engine
@pytest.mark.parametrize("name", marked(EXACT | ROUNDED))
def test_weights_moments_and_steps_come_back_to_the_bit(
    name: str, run_of: Callable[[str], Run]
) -> None:
    saved, back = (tensors(run_of(name).folder / checkpoint) for checkpoint in ("two", "back"))
    assert saved.keys() == back.keys()
    assert [key for key in saved if not saved[key].equal(back[key])] == []


@pytest.mark.engine
@pytest.mark.parametrize("name", marked(EXACT | ROUNDED))
def test_the_checkpoint_is_only_read_and_its_copy_goes(
    name: str, run_of: Callable[[str], Run]
) -> None:
    assert content(run_of(name).folder / "two") == run_of(name).saved
    left = {path.name for path in run_of(name).folder.iterdir()}
    assert left == {"two", "one", "back", "two.npz", "one.npz", "back.npz"}


def test_a_disk_without_room_for_the_copy_is_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / CHECKPOINT_TAG
    folder.mkdir()
    (folder / "partition.pt").write_bytes(bytes(2 * 2**20))

    class Usage(NamedTuple):
        free: int

    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(free=6 * 2**20))
    check_space(folder, num_saved=4, num_ranks=1)
    monkeypatch.setattr("shutil.disk_usage", lambda path: Usage(free=5 * 2**20))
    message = "saved by 4 ranks, this run has 1: .* up to 6 MiB .* has 5 MiB left; .* on 4 ranks"
    with pytest.raises(CheckpointError, match=message):
        check_space(folder, num_saved=4, num_ranks=1)
