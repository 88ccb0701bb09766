"""One token for everything that a served replica answers.

vLLM's own `--api-key` leaves the routes open that change weights and call workers.
"""

import os
import secrets
from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

TOKEN_VARIABLE = "VLLM_API_KEY"
"""Holds the token, at the replica and at the run; it stands in no file and is never printed."""

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]
App = Callable[[Scope, Receive, Send], Awaitable[None]]


def token() -> str:
    """The token of this process's environment; empty without one."""
    return os.environ.get(TOKEN_VARIABLE, "")


def authorization(secret: str) -> dict[str, str]:
    """The header that carries the token; none without one."""
    return {"Authorization": f"Bearer {secret}"} if secret else {}


class TokenGuard:
    """ASGI middleware that answers 401 to every request without the token.

    Without a token in the environment, which `laconic serve` allows on loopback only, all pass.
    """

    def __init__(self, app: App) -> None:
        self._app = app
        self._wanted = authorization(token()).get("Authorization", "").encode()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or self._admits(scope):
            return await self._app(scope, receive, send)
        headers = [(b"content-type", b"application/json")]
        await send({"type": "http.response.start", "status": 401, "headers": headers})
        await send({"type": "http.response.body", "body": b'{"error": "Unauthorized"}'})

    def _admits(self, scope: Scope) -> bool:
        given = dict(scope["headers"]).get(b"authorization", b"")
        return not self._wanted or secrets.compare_digest(given, self._wanted)
