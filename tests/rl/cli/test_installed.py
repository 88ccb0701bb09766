"""A machine without vLLM is told what to choose, before anything starts."""

import sys
from pathlib import Path

import pytest

from rl.cli.installed import engine_problem
from rl.cli.main import main
from rollout.config import (
    ReplayConfig,
    TransformersConfig,
    TransformersReplayConfig,
    VllmConfig,
)

QUICKSTART = Path(__file__).resolve().parents[3] / "recipes" / "quickstart.yaml"


def test_vllm_that_is_not_installed_is_named_with_the_engine_to_choose(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(SystemExit) as stop:
        main(["train", str(QUICKSTART)])
    assert stop.value.code == 2
    assert "vllm is not installed here; set rollout=transformers" in capsys.readouterr().err


def test_engine_without_vllm_needs_none(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_problem(VllmConfig()) is None
    monkeypatch.setitem(sys.modules, "vllm", None)
    assert engine_problem(TransformersConfig()) is None
    assert engine_problem(TransformersReplayConfig()) is None


def test_a_replay_is_told_its_own_engine_without_vllm(monkeypatch: pytest.MonkeyPatch) -> None:
    assert engine_problem(ReplayConfig()) is None
    monkeypatch.setitem(sys.modules, "vllm", None)
    problem = engine_problem(ReplayConfig())
    assert problem is not None
    assert problem.startswith("rollout=replay: vllm is not installed here; set rollout=replay_tra")
