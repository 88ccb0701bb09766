"""A replica that somebody else started (`laconic serve`), as an engine: token ids in and out.

Flow of a completion: one streamed request of vLLM's `/inference/v1/generate`, whose lots of tokens
are put together. The weights go in through vLLM's weight-transfer routes, one call each.
"""

import asyncio
import socket
from collections.abc import Coroutine, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, TypeVar
from urllib.parse import urlsplit

import msgspec
from torch import Tensor

from data.types import Completion, Prompt
from rollout.background import BackgroundLoop
from rollout.drafting.acceptance import Acceptance
from rollout.engine import EngineError, EngineLost, RequestLost, Sampling
from rollout.prompt_tokens import PromptTokens
from rollout.transfer import HeldTransfer
from rollout.vllm.connection import Connection
from rollout.vllm.fingerprint import unpacked_fingerprints
from rollout.vllm.generated import Lots, request_body
from rollout.vllm.plugin import SHARED_MEMORY_BACKEND
from rollout.vllm.settings import Settings, differences
from rollout.vllm.transfer import SharedMemoryTransfer

GENERATE, ABORT = "/inference/v1/generate", "/inference/v1/abort_requests"
SERVED_ID = "generate-tokens-{}"
"""What vLLM's server makes of a request's id."""
HEALTH_SECONDS = 1.0
"""Between two questions after a replica's health."""
ANSWER_SECONDS = 10.0
"""A replica whose server does not answer for so long is gone."""
T = TypeVar("T")


async def connect(
    url: str, loop: BackgroundLoop, token: str, needed: Settings, weight_version: int
) -> "RemoteEngine":
    """The replica at `url`, whose present weights are called `weight_version` from now on.

    Raises `EngineLost` when nothing answers there, `EngineError` when its settings are not those
    `needed`, or the token is wrong.
    """
    connection = Connection(url, token)
    try:
        await connection.get("/health", ANSWER_SECONDS)
        theirs = await _settings(connection)
        if found := differences(theirs, needed):
            raise EngineError(
                f"the replica {url} cannot serve this run: {'; '.join(found)}. Start it with "
                "`laconic serve` on the same recipe, with the same overrides and version"
            )
        await connection.post("/update_weight_version", {"new_version": str(weight_version)})
        return RemoteEngine(connection, loop, theirs, weight_version)
    except BaseException:
        await connection.close()
        raise


class RemoteEngine:
    """Samples at a replica; ending it ends the connection, never the replica's processes.

    Made on `loop` by `connect`. It asks after the replica's health as long as it lives.
    """

    def __init__(
        self, connection: Connection, loop: BackgroundLoop, settings: Settings, weight_version: int
    ) -> None:
        self.connection = connection
        self.loop = loop
        self.settings = settings
        self.death = ""
        self.tokens_received = 0
        self._weight_version = weight_version
        self._running: set[asyncio.Task[Any]] = set()
        self._ended: EngineError | None = None
        self._watch = asyncio.create_task(self._watch_health())

    @property
    def name(self) -> str:
        return f"vllm {self.settings.vllm}"

    @property
    def weight_version(self) -> int:
        return self._weight_version

    def installed(self, version: int) -> None:
        """Records that the replica samples with `version` from now on."""
        self._weight_version = version

    async def sample(self, prompt: Prompt, sampling: Sampling) -> Completion:
        """See `Engine.sample`; may be awaited on any event loop.

        Raises `RequestLost` when the answer broke off and the replica lives.
        """
        if not self.loop.is_current and self._ended is None:
            return await asyncio.wrap_future(self.loop.submit(self.sample(prompt, sampling)))
        num_tokens = len(prompt.token_ids) + sampling.limit
        if sampling.limit < 1 or num_tokens > self.settings.max_model_tokens:
            raise EngineError(
                f"request {sampling.id}: {len(prompt.token_ids)} prompt tokens and a limit of "
                f"{sampling.limit} do not fit into {self.settings.max_model_tokens}; raise "
                "rollout.max_prompt_tokens or limit.max_response_tokens, here and at the replica"
            )
        with self._exchange():
            try:
                lots = await self._generated(prompt, sampling)
            except EngineLost as loss:
                await self._raise_if_gone()
                raise RequestLost(f"request {sampling.id}: {loss}") from loss
            except EngineError:
                # A server whose engine died says so of every request.
                await self._raise_if_gone()
                raise
        if not lots.finish:
            raise RequestLost(
                f"request {sampling.id}: the answer of {self.connection.url} broke off"
            )
        return lots.completion(sampling, self._weight_version)

    async def _generated(self, prompt: Prompt, sampling: Sampling) -> Lots:
        lots = Lots()
        body = request_body(prompt, sampling)
        async with self.connection.streamed(GENERATE, body) as lines:
            async for line in lines:
                self.tokens_received += lots.add(line)
        return lots

    async def abort(self, request_id: str) -> None:
        """See `InterruptibleEngine.abort`; may be awaited on any event loop."""
        if not self.loop.is_current and self._ended is None:
            return await asyncio.wrap_future(self.loop.submit(self.abort(request_id)))
        with self._exchange():
            await self.connection.post(ABORT, {"request_ids": [SERVED_ID.format(request_id)]})

    def call(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Waits for an exchange with the replica, which `kill` ends; for callers that block."""

        async def within() -> T:
            with self._exchange():
                return await coroutine

        return self.loop.run(within())

    def start_transfer(self, bucket_mib: int) -> HeldTransfer:
        """See `PolicyEngine.start_transfer`: this machine's memory on the CPU, else NCCL."""
        cycle = RemoteCycle(self)
        if self.settings.backend == SHARED_MEMORY_BACKEND:
            return SharedMemoryTransfer(cycle, bucket_mib)
        from rollout.vllm.transfer_cuda import NcclTransfer

        size = self.call(self.connection.get("/get_world_size"))
        return NcclTransfer(
            cycle,
            bucket_mib,
            num_workers=int(size["world_size"]),
            address=own_address(self.connection.url),
        )

    def fingerprints(self) -> dict[str, Tensor]:
        answer = self.call(_ask_workers(self.connection, "laconic_fingerprints"))
        return unpacked_fingerprints(answer)

    def draft_acceptance(self) -> Acceptance:
        """See `PolicyEngine.draft_acceptance`; nothing is heard of a draft model's drafts."""
        return Acceptance(**self.call(_ask_workers(self.connection, "laconic_draft_acceptance")))

    def prompt_tokens(self) -> PromptTokens:
        """vLLM's answers over HTTP do not say what was cached."""
        return PromptTokens()

    def admit_together(self) -> None:
        raise EngineError(
            "rollout.placement=remote: requests reach a replica over the network one by one; set "
            "deterministic=false, or rollout.placement=cpu"
        )

    def rest(self) -> AbstractContextManager[None]:
        """Nothing to do: no memory is shared with the learner."""
        return nullcontext()

    async def kill(self, why: str) -> None:
        """See `MortalEngine.kill`; the replica's processes are left to whoever started them."""
        await self._end(EngineLost(why))

    async def close(self) -> None:
        if not self.loop.is_current and not self.loop.closed:
            return await asyncio.wrap_future(self.loop.submit(self.close()))
        await self._end(EngineError(f"{self.name} is closed; start another one"))

    def shutdown(self) -> None:
        if self._ended is None and not self.loop.closed:
            self.loop.run(self.close())

    async def _end(self, ending: EngineError) -> None:
        if self._ended is not None:
            return
        self._ended = ending
        self._watch.cancel()
        for task in tuple(self._running):
            task.cancel()
        await asyncio.sleep(0)
        await self.connection.close()

    @contextmanager
    def _exchange(self) -> Iterator[None]:
        """Around waiting for the replica: `kill` and `close` end it, with their error."""
        if self._ended is not None:
            raise self._ended
        task = asyncio.current_task()
        assert task is not None
        self._running.add(task)
        try:
            yield
        except asyncio.CancelledError:
            if self._ended is not None and task.uncancel() == 0:
                raise self._ended from None
            raise
        finally:
            self._running.discard(task)

    async def _raise_if_gone(self) -> None:
        """Raises `EngineLost` when the replica is not healthy, or its server is gone."""
        try:
            await self.connection.get("/health", ANSWER_SECONDS)
        except EngineError as error:
            raise EngineLost(str(error)) from error

    async def _watch_health(self) -> None:
        while not self.death:
            await asyncio.sleep(HEALTH_SECONDS)
            try:
                await self._raise_if_gone()
            except EngineLost as loss:
                self.death = str(loss)


class RemoteCycle:
    """The `Cycle` (`rollout.vllm.transfer`) of a replica over HTTP.

    A replica that refuses a call is of no use any more: that is a loss like the others.
    """

    def __init__(self, engine: RemoteEngine) -> None:
        self._engine = engine
        self._installed = False

    def init(self, info: dict[str, Any]) -> None:
        self._post("/init_weight_transfer_engine", {"init_info": info})

    def start(self) -> bool:
        installed, self._installed = self._installed, False
        self._post("/pause", mode="keep", clear_cache="false")
        self._post("/start_weight_update")
        return installed

    def update(self, info: dict[str, Any]) -> None:
        self._post("/update_weights", {"update_info": info})

    def turn_to_drafter(self) -> None:
        self._post("/finish_weight_update", {"weight_version": None})
        self._post("/start_draft_weight_update")

    def finish(self, version: int) -> None:
        self._post("/finish_weight_update", {"weight_version": str(version)})
        engine = self._engine
        engine.call(_ask_workers(engine.connection, "laconic_new_weights", version=version))
        # As in `EngineCycle`: no later token follows from keys and values of the old weights.
        if not self._post("/reset_prefix_cache", reset_running_requests="true")["success"]:
            raise EngineLost(f"{self._engine.connection.url} kept key-value blocks")
        self._engine.installed(version)
        self._post("/resume")
        self._installed = True

    def _post(self, path: str, body: Any = None, **query: str) -> Any:
        try:
            return self._engine.call(self._engine.connection.post(path, body, **query))
        except EngineLost:
            raise
        except EngineError as error:
            raise EngineLost(str(error)) from error


def own_address(url: str) -> str:
    """The address under which the machine of `url` reaches this one; nothing is sent."""
    parts = urlsplit(url)
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.connect((parts.hostname, parts.port or 80))
        return str(probe.getsockname()[0])


async def _settings(connection: Connection) -> Settings:
    return msgspec.convert(await _ask_workers(connection, "laconic_settings"), Settings)


async def _ask_workers(connection: Connection, method: str, **arguments: Any) -> Any:
    """What the first worker answers to a method of `rollout.vllm.worker`."""
    asked = {"method": method, "kwargs": arguments}
    return (await connection.post("/collective_rpc", asked))["results"][0]
