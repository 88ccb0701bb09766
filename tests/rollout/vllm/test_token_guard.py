import asyncio

import pytest

from rollout.vllm.token_guard import TOKEN_VARIABLE, TokenGuard, authorization


async def app(scope, receive, send):
    await send({"type": "http.response.start", "status": 200, "headers": []})
    await send({"type": "http.response.body", "body": b"{}"})


def status(path, headers):
    """The status that a guarded app answers a request with."""
    sent = []

    async def send(message):
        sent.append(message)

    named = [(name.lower().encode(), value.encode()) for name, value in headers.items()]
    scope = {"type": "http", "path": path, "headers": named}
    asyncio.run(TokenGuard(app)(scope, None, send))
    return sent[0]["status"]


@pytest.mark.parametrize(
    "path", ["/collective_rpc", "/update_weights", "/inference/v1/generate", "/health"]
)
def test_every_route_needs_the_token(monkeypatch, path):
    monkeypatch.setenv(TOKEN_VARIABLE, "open sesame")
    assert status(path, {}) == 401
    assert status(path, authorization("open")) == 401
    assert status(path, authorization("open sesame")) == 200


def test_without_a_token_all_pass(monkeypatch):
    monkeypatch.delenv(TOKEN_VARIABLE, raising=False)
    assert status("/health", {}) == 200


def test_a_server_may_start_and_end_without_a_token(monkeypatch):
    monkeypatch.setenv(TOKEN_VARIABLE, "open sesame")
    heard = []

    async def starts(scope, receive, send):
        heard.append(scope["type"])

    asyncio.run(TokenGuard(starts)({"type": "lifespan"}, None, None))
    assert heard == ["lifespan"]
