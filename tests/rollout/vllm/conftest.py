"""A replica's server without vLLM, for the tests of what asks it."""

import pytest

from rollout.background import BackgroundLoop
from rollout.vllm import remote
from tests.rollout.vllm.replica_server import ReplicaServer


@pytest.fixture
def loop(monkeypatch):
    monkeypatch.setattr(remote, "HEALTH_SECONDS", 0.05)
    monkeypatch.setattr(remote, "ANSWER_SECONDS", 1.0)
    background = BackgroundLoop()
    yield background
    background.close()


@pytest.fixture
def server(loop):
    running = ReplicaServer()
    loop.run(running.start())
    yield running
    loop.run(running.stop())
