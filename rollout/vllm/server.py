"""A replica for runs elsewhere: vLLM's own HTTP server, with our settings, plugin and token guard.

Flow: the recipe's settings -> vLLM's engine, as a run would start it -> checks -> vLLM's server,
until SIGTERM or SIGINT. Runs find it by its address (`rollout.vllm.remote`).
"""

import asyncio
import logging
from argparse import Namespace
from collections.abc import Mapping
from contextlib import AsyncExitStack, closing
from typing import Any

import torch

from rollout.config import Placement, VllmConfig
from rollout.engine import EngineError
from rollout.vllm.environment import engine_environment
from rollout.vllm.guards import check_plugin
from rollout.vllm.speculation import start_speculation
from rollout.vllm.start import engine_arguments, engine_variables

logger = logging.getLogger(__name__)

STREAM_INTERVAL = 16
"""A run hears of a completion's tokens in lots of this size: often enough to tell a hang."""


def serve(
    config: VllmConfig, model: Mapping[str, Any], max_model_tokens: int, host: str, port: int
) -> None:
    """Starts vLLM and serves on `host` and `port` until a signal ends it.

    `model` are vLLM's arguments `model`, `dtype` and `seed`. Raises `EngineError` when vLLM does
    not start, when our plugin would not work in it, or when speculation would be wrong.
    """
    devices = list(range(config.devices or torch.cuda.device_count()))
    placement = Placement.separate if devices else Placement.cpu
    arguments = engine_arguments(config, placement, max_model_tokens, len(devices))
    variables = engine_variables(config, placement, devices) | {"VLLM_SERVER_DEV_MODE": "1"}
    with engine_environment(variables):
        import vllm

        check_plugin(vllm.__version__)
        asyncio.run(_serve(server_arguments({**arguments, **model}, host, port), config))


def server_arguments(arguments: Mapping[str, Any], host: str, port: int) -> Namespace:
    """What vLLM's server is started with: engine `arguments` over its defaults, and the routes.

    Only routes that take and return token ids, and those that runs steer it by.
    """
    from vllm.entrypoints.launchers.cli_args import make_arg_parser
    from vllm.utils.argparse_utils import FlexibleArgumentParser

    defaults = make_arg_parser(FlexibleArgumentParser()).parse_args([])
    routes = {
        "host": host,
        "port": port,
        "enable_scale_out": True,
        "return_tokens_as_token_ids": True,
        "stream_interval": STREAM_INTERVAL,
        "middleware": ["rollout.vllm.token_guard.TokenGuard"],
        "disable_fastapi_docs": True,
        "disable_uvicorn_access_log": True,
        "uvicorn_log_level": "warning",
    }
    return Namespace(**{**vars(defaults), **arguments, **routes})


async def _serve(arguments: Namespace, config: VllmConfig) -> None:
    from vllm.entrypoints.launchers.api_server.entry import (
        build_and_serve,
        build_async_engine_client,
    )
    from vllm.entrypoints.launchers.launcher import setup_server

    address, listening = setup_server(arguments, reuse_port=False)
    with closing(listening):
        async with AsyncExitStack() as parts:
            try:
                llm = await parts.enter_async_context(build_async_engine_client(arguments))
            except Exception as error:
                raise EngineError(f"vLLM did not start: {error}") from error

            async def call(method: str, **given: Any) -> list[Any]:
                return list(await llm.collective_rpc(method, kwargs=given))

            await start_speculation(config, call)
            logger.info("serving %s at %s", arguments.model, address)
            ending = await build_and_serve(llm, address, listening, arguments)
        await ending
