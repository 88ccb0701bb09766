"""`laconic record RECIPE --to FILE`: the initial policy's judged answers, for `rollout: replay`

One file serves any number of runs: whatever seed, algorithm or learning rate they have. A run that
names none records for itself, into its folder, before it trains.
"""

import argparse
import sys
from contextlib import ExitStack, closing
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.progress import Progress

from data.types import Prompt
from rewards.protocols import Verifier
from rl.cli.compose import compose
from rl.cli.hub import hub_problem
from rl.cli.installed import engine_problem
from rl.cli.launch import log_to_stderr, refuse
from rl.cli.machine import this_machine
from rl.cli.options import build
from rl.cli.recipe import RecipeError
from rl.config import RunConfig
from rl.run.references import FILE, Recorded, read_recording, record
from rollout.background import Runner
from rollout.config import RecordingConfig
from rollout.engine import Engine
from rollout.samplings import StreamSettings
from rollout.stream import Stream
from rollout.supervisor import Supervisor


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `record` to the `laconic` command."""
    parser = commands.add_parser(
        "record", help="the initial policy's answers, for rollout: replay", description=__doc__
    )
    parser.add_argument("recipe", type=Path, help="a recipe's YAML file, with rollout: replay")
    parser.add_argument("overrides", nargs="*", help="key=value or group=name, as Hydra reads them")
    parser.add_argument("--to", type=Path, required=True, help="the file to write; a new one")
    parser.set_defaults(run=run)


def run(asked: argparse.Namespace) -> int:
    """Records every training prompt of the recipe; 0, or 2 when it cannot."""
    machine = this_machine()
    log_to_stderr(machine)
    try:
        config = compose(asked.recipe, asked.overrides, machine).config
        if problems := problems_of(config, asked.to):
            raise RecipeError(problems)
        # The user's own verifiers lie beside the recipe; at the end of the path they hide nothing.
        sys.path.append(str(asked.recipe.parent.absolute()))
        record_alone(config, asked.to)
    except RecipeError as error:
        refuse(asked.recipe, error, machine)
        return 2
    return 0


def problems_of(config: RunConfig, to: Path) -> list[str]:
    """Why the recipe cannot be recorded to that file; seen before anything heavy loads."""
    found = [engine_problem(config.rollout), hub_problem(config.model)]
    if not isinstance(config.rollout, RecordingConfig):
        found.append(
            "rollout: this recipe samples while it trains, there is nothing to record; set "
            "rollout=replay or rollout=replay_transformers"
        )
    if to.exists():
        found.append(f"--to {to}: exists, and a recording is never written over; name a new file")
    elif not to.absolute().parent.is_dir():
        found.append(f"--to {to}: there is no folder {to.absolute().parent}; make it first")
    return [problem for problem in found if problem]


def record_alone(config: RunConfig, path: Path) -> None:
    """Starts the engine and the verifier, records, stops them."""
    from rl.cli.host import start_engine
    from rl.cli.inputs import read_inputs
    from rl.cli.judging import build_verifier, check_user_code, start_pool, training_verifier
    from rollout.background import BackgroundLoop

    try:
        check_user_code(config)
        prompts = read_inputs(config).training
    except ValueError as error:
        raise RecipeError([str(error)]) from error
    with ExitStack() as parts:
        loop = parts.enter_context(closing(BackgroundLoop()))
        started = start_engine(config, loop, version=0)
        parts.callback(started.engine.shutdown)
        parts.callback(started.transfer.close)
        pool = start_pool(parts, config.verifier, loop)
        verify = training_verifier(config, pool, build_verifier(config, pool))
        record_with(started.engine, verify, loop, config, path, prompts)


def given_recording(config: RunConfig, prompts: list[Prompt]) -> Recorded | None:
    """The recording that a recipe names, if it does; ValueError when it is another run's."""
    if not isinstance(config.rollout, RecordingConfig) or not config.rollout.recording:
        return None
    return read_recording(Path(config.rollout.recording), config, prompts)


def own_recording(
    engine: Supervisor[Any],
    verify: Verifier,
    config: RunConfig,
    folder: Path,
    prompts: list[Prompt],
) -> Recorded:
    """What a run that replays has recorded in its `folder`, or records there.

    The engine holds the initial weights.
    """
    path = folder / FILE
    if not path.is_file():
        record_with(engine, verify, engine, config, path, prompts)
    return read_recording(path, config, prompts)


def record_with(
    engine: Engine,
    verify: Verifier,
    loop: Runner,
    config: RunConfig,
    path: Path,
    prompts: list[Prompt],
) -> None:
    """Records with an engine that runs; a bar on a terminal, a line in a plain log."""
    rollout = config.rollout
    assert isinstance(rollout, RecordingConfig), "other recipes have nothing to record"
    settings = StreamSettings(
        group_size=rollout.samples_per_prompt,
        temperature=config.rollout.temperature,
        top_p=config.rollout.top_p,
        seed=config.seed,
    )
    console = Console(stderr=True, highlight=False, quiet=not config.log.progress)
    with (
        closing(Stream(engine, verify, lambda group, verdicts: True, loop, settings)) as stream,
        Progress(console=console, transient=True, disable=not console.is_terminal) as progress,
    ):
        task = progress.add_task("recording", total=len(prompts))
        record(
            path,
            config,
            stream,
            build("limit", config.limit),
            prompts,
            lambda num_prompts: progress.update(task, completed=num_prompts),
        )
    console.print(
        f"recorded {rollout.samples_per_prompt} answers to each of {len(prompts)} prompts: {path}",
        soft_wrap=True,
        markup=False,
    )
