"""Threads of the learner's processes."""

import os

import pytest

from rl.cli.machine import Machine
from rl.cli.threads import set_learner_threads

TWO_PROCESSES = Machine(num_cores=8, num_gpus=0, num_local_learners=2)
ONE_PROCESS = Machine(num_cores=8, num_gpus=0)


@pytest.fixture(autouse=True)
def environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS"):
        monkeypatch.setenv(name, "0")
        monkeypatch.delenv(name)


def test_processes_share_the_cores() -> None:
    assert set_learner_threads(0, TWO_PROCESSES) == 4
    assert os.environ["OMP_NUM_THREADS"] == os.environ["MKL_NUM_THREADS"] == "4"


def test_torchruns_single_thread_is_nobodys_choice(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set_learner_threads(0, TWO_PROCESSES) == 4


def test_users_variable_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    assert set_learner_threads(0, ONE_PROCESS) == 1
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set_learner_threads(0, TWO_PROCESSES) == 3


def test_recipe_decides_over_the_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("OMP_NUM_THREADS", "3")
    assert set_learner_threads(2, ONE_PROCESS) == 2
    assert os.environ["OMP_NUM_THREADS"] == "2"


def test_more_processes_than_cores_get_one_thread_each() -> None:
    assert set_learner_threads(0, Machine(num_cores=2, num_gpus=0, num_local_learners=4)) == 1
