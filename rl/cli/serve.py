"""`laconic serve RECIPE key=value`: a vLLM replica for runs of that recipe, until a signal ends it.

A run finds it by `rollout.placement=remote rollout.urls=[http://host:port]`. Give replicas that
draw without seeds a `seed` each, or they draw alike.
"""

import argparse
import logging
import sys
from ipaddress import ip_address
from pathlib import Path

from rl.cli.compose import compose
from rl.cli.installed import engine_problem
from rl.cli.launch import log_to_stderr, refuse
from rl.cli.machine import this_machine
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rollout.config import VllmConfig
from rollout.engine import EngineError

logger = logging.getLogger(__name__)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `serve` to the `laconic` command."""
    parser = commands.add_parser(
        "serve", help="a vLLM replica for a recipe, for another machine", description=__doc__
    )
    parser.add_argument("recipe", type=Path, help="a recipe's YAML file")
    parser.add_argument("overrides", nargs="*", help="key=value, as the run has them")
    parser.add_argument("--host", default="127.0.0.1", help="another address needs a token")
    parser.add_argument("--port", type=int, default=8000)
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Serves until a signal; 2 when it cannot as configured, 1 when vLLM failed."""
    machine = this_machine()
    log_to_stderr(machine)
    try:
        config = compose(asked.recipe, asked.overrides, machine).config
        if found := problems(config, asked.host):
            raise RecipeError(found)
        serve(config, asked.host, asked.port)
    except RecipeError as error:
        refuse(asked.recipe, error, machine)
        return 2
    except (EngineError, OSError) as error:
        sys.stderr.write(f"laconic serve: {error}\n")
        return 1
    return 0


def problems(config: RunConfig, host: str) -> list[str]:
    """Why the recipe cannot be served on `host`."""
    from rollout.vllm.token_guard import TOKEN_VARIABLE, token

    found = []
    if not isinstance(config.rollout, VllmConfig):
        found.append("laconic serve starts vLLM; choose rollout=vllm")
    elif problem := engine_problem(config.rollout):
        found.append(problem)
    if not is_loopback(host) and not token():
        found.append(
            f"--host {host}: whoever reaches it could change its weights; set {TOKEN_VARIABLE} "
            "in the environment to a token, here and at the run"
        )
    return found


def is_loopback(host: str) -> bool:
    """Whether only processes of this machine reach `host`."""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


def serve(config: RunConfig, host: str, port: int) -> None:
    """Starts vLLM with the settings of `config` and serves; blocks."""
    from rl.cli.host import room, served
    from rl.cli.model_folder import model_path
    from rollout.vllm import server

    rollout = served(config)
    assert isinstance(rollout, VllmConfig)
    model = {"model": model_path(config), "dtype": config.model.dtype, "seed": config.seed}
    server.serve(rollout, model, room(config), host, port)
