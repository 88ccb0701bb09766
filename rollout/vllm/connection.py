"""HTTP to one replica: answers as JSON, and its failures as `EngineLost` and `EngineError`."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import aiohttp

from rollout.engine import EngineError, EngineLost, RequestLost
from rollout.vllm.token_guard import TOKEN_VARIABLE, authorization

CONNECT_SECONDS = 5.0
BUFFER_BYTES = 2**20
"""One line of a streamed answer holds a lot of tokens with their log-probs."""

ERROR = 400
UNAUTHORIZED = 401
BUSY = (429, 503)
"""Too many requests, and no service at present: another time, or another replica."""


class Connection:
    """Requests to the server at `url`; made and used on one event loop."""

    def __init__(self, url: str, token: str) -> None:
        self.url = url.rstrip("/")
        self._session = aiohttp.ClientSession(
            headers=authorization(token),
            # A server closes idle connections, and a request on one that it closes just then fails.
            connector=aiohttp.TCPConnector(limit=0, force_close=True),
            timeout=aiohttp.ClientTimeout(total=None, sock_connect=CONNECT_SECONDS),
            read_bufsize=BUFFER_BYTES,
        )

    async def get(self, path: str, seconds: float | None = None) -> Any:
        """The JSON that `path` answers, None for an empty answer. Raises `EngineLost` when there
        is none (within `seconds`), `EngineError` for a status of 400 or more, which is a
        `RequestLost` when the server is busy."""
        with self._lost_if_broken(path):
            async with asyncio.timeout(seconds), self._session.get(self.url + path) as response:
                return await self._answer(path, response)

    async def post(self, path: str, body: Any = None, **query: str) -> Any:
        """As `get`, without a limit in time: what it starts may take long."""
        with self._lost_if_broken(path):
            async with self._session.post(
                self.url + path, json={} if body is None else body, params=query
            ) as response:
                return await self._answer(path, response)

    @asynccontextmanager
    async def streamed(self, path: str, body: Any) -> AsyncIterator[AsyncIterator[bytes]]:
        """The lines of the answer as they come; the request ends when it is left."""
        with self._lost_if_broken(path):
            async with self._session.post(self.url + path, json=body) as response:
                if response.status >= ERROR:
                    await self._answer(path, response)
                yield aiter(response.content)

    async def close(self) -> None:
        await self._session.close()

    async def _answer(self, path: str, response: aiohttp.ClientResponse) -> Any:
        text = await response.text()
        if response.status == UNAUTHORIZED:
            raise EngineError(
                f"{self.url} wants another token: set {TOKEN_VARIABLE} to the one it was started "
                "with"
            )
        if response.status >= ERROR:
            kind = RequestLost if response.status in BUSY else EngineError
            raise kind(f"{self.url} answered {path} with {response.status}: {text[:1000]}")
        return await response.json() if text else None

    @contextmanager
    def _lost_if_broken(self, path: str) -> Iterator[None]:
        try:
            yield
        except (aiohttp.ClientError, OSError, TimeoutError) as error:
            what = str(error) or type(error).__name__
            raise EngineLost(f"{self.url} did not answer {path}: {what}") from error
