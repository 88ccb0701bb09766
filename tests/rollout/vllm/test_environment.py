import os

import pytest

from rollout.vllm.environment import cpu_variables, engine_environment, num_engine_threads


def test_torchrun_is_hidden_from_the_engine_and_comes_back(monkeypatch):
    monkeypatch.setenv("RANK", "0")
    monkeypatch.setenv("MASTER_PORT", "29500")
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    before = dict(os.environ)
    with engine_environment({"OMP_NUM_THREADS": "3"}):
        assert not {"RANK", "MASTER_PORT", "TORCHELASTIC_RUN_ID"} & set(os.environ)
        assert os.environ["OMP_NUM_THREADS"] == "3"
        assert os.environ["LACONIC_VLLM_PLUGIN"] == str(os.getpid())
        os.environ["LD_PRELOAD"] = "/written/by/vllm.so"
        os.environ["PATH"] += ":/written/by/vllm"
    assert dict(os.environ) == before


def test_environment_comes_back_after_an_error():
    before = dict(os.environ)
    with pytest.raises(KeyError), engine_environment({"A_B_C": "1"}):
        raise KeyError
    assert dict(os.environ) == before


def test_a_log_level_of_the_users_stays(monkeypatch):
    monkeypatch.setenv("VLLM_LOGGING_LEVEL", "DEBUG")
    with engine_environment({}):
        assert os.environ["VLLM_LOGGING_LEVEL"] == "DEBUG"
    monkeypatch.delenv("VLLM_LOGGING_LEVEL")
    with engine_environment({}):
        assert os.environ["VLLM_LOGGING_LEVEL"] == "ERROR"


def test_an_engine_leaves_the_learner_one_core(monkeypatch):
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0, 1, 2, 3})
    assert num_engine_threads(0) == 3 and num_engine_threads(2) == 2
    monkeypatch.setattr(os, "sched_getaffinity", lambda pid: {0})
    assert num_engine_threads(0) == 1


def test_a_binding_of_the_users_stays(monkeypatch):
    assert cpu_variables(2) == {"OMP_NUM_THREADS": "2", "VLLM_CPU_OMP_THREADS_BIND": "nobind"}
    monkeypatch.setenv("VLLM_CPU_OMP_THREADS_BIND", "0-1")
    assert cpu_variables(2)["VLLM_CPU_OMP_THREADS_BIND"] == "0-1"
