"""`laconic serve`: what it refuses, and what it starts vLLM with."""

import pytest

from rl.cli.main import main
from rl.cli.serve import is_loopback
from rollout.vllm import server
from tests.engine_fixtures import LAB

RECIPE = "recipes/quickstart.yaml"


@pytest.fixture
def served(monkeypatch):
    """What would have been served; vLLM's own start is in test_served.py."""
    monkeypatch.delenv("VLLM_API_KEY", raising=False)
    calls = []
    monkeypatch.setattr(server, "serve", lambda *arguments: calls.append(arguments))
    return calls


def serve(*words):
    with pytest.raises(SystemExit) as stop:
        main(["serve", *words])
    return stop.value.code


def test_a_recipe_is_served_on_loopback_with_room_for_its_longest_answer(served):
    assert serve(RECIPE, "--port", "8001", "rollout.max_num_seqs=8", "seed=7") == 0
    [(rollout, model, max_model_tokens, host, port)] = served
    assert rollout.max_num_seqs == 8
    assert model == {"model": str(LAB / "short"), "dtype": "float32", "seed": 7}
    assert (max_model_tokens, host, port) == (256 + 512, "127.0.0.1", 8001)


def test_another_address_needs_a_token(served, monkeypatch, capsys):
    assert serve(RECIPE, "--host", "0.0.0.0") == 2
    assert "set VLLM_API_KEY" in capsys.readouterr().err and served == []
    monkeypatch.setenv("VLLM_API_KEY", "open sesame")
    assert serve(RECIPE, "--host", "0.0.0.0") == 0
    assert "sesame" not in "".join(capsys.readouterr())


def test_only_vllm_is_served(served, capsys):
    assert serve(RECIPE, "rollout=transformers") == 2
    assert "choose rollout=vllm" in capsys.readouterr().err and served == []


def test_a_wrong_override_is_refused_as_everywhere(served, capsys):
    assert serve(RECIPE, "rollout.max_num_seq=8") == 2
    assert "max_num_seqs" in capsys.readouterr().err and served == []


@pytest.mark.parametrize(
    ("host", "expected"),
    [("127.0.0.1", True), ("::1", True), ("localhost", True), ("0.0.0.0", False), ("gpu-7", False)],
)
def test_loopback_is_known(host, expected):
    assert is_loopback(host) is expected
