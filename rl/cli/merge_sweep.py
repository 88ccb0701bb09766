"""`laconic merge sweep METHOD BASE OTHER --values 0,0.5,1 --on RECIPE --to FOLDER`: many merges.

Flow: every problem at once -> one engine -> for each value: merged weights into the engine, the
recipe's held-out problems, results.json and completions in a folder of its own -> one table.
"""

import argparse
import json
import logging
import sys
from collections.abc import Mapping, Sequence
from contextlib import ExitStack
from math import isfinite
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from rl.cli.in_turn import InTurn, config_for, started
from rl.cli.machine import this_machine
from rl.cli.merge_methods import (
    METHODS,
    Options,
    Problems,
    folder_of,
    given_options,
    option_problems,
    read_both,
    target_problems,
)
from rl.cli.recipe import RecipeError
from rollout.engine import EngineError
from rollout.stream import GraderError

if TYPE_CHECKING:
    from data.types import Prompt
    from rl.config import RunConfig
    from rl.offline.folders import Weights

logger = logging.getLogger(__name__)

FORMAT = 1
SHOWN = ("accuracy", "response_tokens")


def add_command(methods: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `sweep` beside the methods, with a subcommand for each of them."""
    summary = "tokens and accuracy over a method's scale, in one engine"
    names = methods.add_parser("sweep", help=summary, description=__doc__).add_subparsers(
        required=True, metavar="METHOD"
    )
    for name, method in METHODS.items():
        command = names.add_parser(name, help=method.summary, description=method.summary)
        command.add_argument("base", metavar="BASE", help="a folder, a run's folder, or lab:short")
        command.add_argument("other", metavar="OTHER", help="the other one, or a LoRA's folder")
        command.add_argument(
            "--values",
            type=values,
            required=True,
            metavar="S,S,...",
            help=f"--{method.swept} of each merge, {method.meaning}",
        )
        command.add_argument("--on", type=Path, required=True, metavar="RECIPE")
        command.add_argument("--to", type=Path, required=True, metavar="FOLDER")
        method.add_options(command)
        command.set_defaults(run=run, method=name, overrides=[])


def values(text: str) -> list[float]:
    """`0,0.5,1` as numbers, each once, in their order."""
    found = [float(part) for part in text.split(",")]
    if not all(map(isfinite, found)):
        raise ValueError(text)
    return list(dict.fromkeys(found))


def run(asked: argparse.Namespace) -> int:
    """Sweeps; 2 with one message when something is in the way, 1 when an engine or grader fails."""
    from rl.cli.launch import log_to_stderr

    log_to_stderr(this_machine())
    try:
        content = sweep(
            asked.method, asked.base, asked.other, given_options(asked),
            asked.values, asked.on, asked.overrides, asked.to,
        )  # fmt: skip
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic merge sweep: {error}\n")
        return 2
    except (EngineError, GraderError) as error:
        logger.error("laconic: %s: %s", type(error).__name__, error)
        return 1
    show(content, asked.to / "sweep.json")
    return 0


def sweep(
    name: str,
    base: str,
    other: str,
    options: Options,
    points: Sequence[float],
    recipe: Path,
    overrides: Sequence[str],
    target: Path,
) -> dict[str, Any]:
    """Evaluates the merge of each value, and returns what it wrote to `target`/sweep.json.

    Raises `Problems` with all that is in the way before anything starts.
    """
    from transformers.utils.logging import disable_progress_bar

    from rl.cli.evaluate import settings_of
    from rl.cli.inputs import read_held_out
    from rl.cli.train import lab_version
    from rl.run.folder import source_commit

    disable_progress_bar()
    config, first, second = checked(name, base, other, options, recipe, overrides, target)
    prompts = read_held_out(config)
    target.mkdir(parents=True, exist_ok=True)
    sys.path.append(str(recipe.parent.absolute()))
    method, found = METHODS[name], []
    with started(config) as turn:
        content: dict[str, Any] = {
            "format": FORMAT,
            "method": name,
            "base": base,
            "other": other,
            "options": dict(options),
            "swept": method.swept,
            "recipe": recipe.stem,
            "engine": turn.engine.name,
            "lab_version": lab_version(config),
            "commit": source_commit(),
            "seed": config.seed,
            "settings": settings_of(config, len(prompts)),
        }
        for value in points:
            logger.info("%s %g: %d problems", method.swept, value, len(prompts))
            merged = {**options, method.swept: value}
            with ExitStack() as files:
                merge = method.build(first, second, merged, files)
                turn.put(_buckets(first, merge, turn))
            found.append(
                measure(turn, prompts, f"{method.swept}_{value:g}", value, target, content)
            )
            _write(target / "sweep.json", {**content, "points": found})
    return {**content, "points": found}


def checked(
    name: str,
    base: str,
    other: str,
    options: Options,
    recipe: Path,
    overrides: Sequence[str],
    target: Path,
) -> tuple["RunConfig", "Weights", Any]:
    """The recipe's configuration and both models; raises `Problems` with all that is wrong."""
    problems = [*option_problems(options), *target_problems(target)]
    config, models = None, None
    try:
        *models, misfits = read_both(name, base, other)
        problems += misfits
    except Problems as unreadable:
        problems += unreadable.problems
    try:
        config = config_for(recipe, overrides, folder_of(base), this_machine())
        if not config.data.eval_path:
            problems.append("data.eval_path is empty: there is nothing to evaluate on; set it")
    except RecipeError as error:
        problems += error.problems
    if problems or config is None or models is None:
        raise Problems(problems)
    first, second = models
    return config, first, second


def measure(
    turn: InTurn,
    prompts: "list[Prompt]",
    name: str,
    value: float,
    target: Path,
    about: Mapping[str, Any],
) -> dict[str, Any]:
    """One point: evaluates the engine's weights, writes all of it to `target`/`name`."""
    from rl.evaluate.figures import chosen_caps
    from rl.evaluate.results import COMPLETIONS, Measured, results, write_results
    from rl.run.completions import write_evaluated
    from rl.run.judge import evaluate_held_out

    start, folder, config = perf_counter(), target / name, turn.config
    evaluation = turn.loop.run(evaluate_held_out(turn.engine, prompts, turn.verifier, config, name))
    folder.mkdir()
    write_evaluated(folder / COMPLETIONS, 0, evaluation)
    measured = Measured(model=name, settings=about["settings"], modes=evaluation.outcomes)
    kept = {key: about[key] for key in ("recipe", "engine", "lab_version", "commit", "seed")}
    wall = {"revision": "", "wall_s": round(perf_counter() - start, 1)}
    caps = chosen_caps(config.evaluation.caps, config.limit.max_response_tokens)
    found = results(measured, kept | wall, caps, None)
    write_results(folder, found)
    return {
        "value": value,
        "folder": name,
        **{key: found[key] for key in ("wall_s", "sampled", "greedy", "grader_failures")},
    }


def show(content: Mapping[str, Any], path: Path) -> None:
    """Prints the sweep as a table, one row per value."""
    table = Table(box=None, padding=(0, 1), header_style="bold")
    modes = [mode for mode in ("sampled", "greedy") if content["points"][0][mode]]
    for column in (content["swept"], *(f"{mode} {name}" for mode in modes for name in SHOWN)):
        table.add_column(column, justify="right")
    for point in content["points"]:
        table.add_row(
            f"{point['value']:g}",
            *(_cell(name, point[mode][name]) for mode in modes for name in SHOWN),
        )
    console = Console(highlight=False)
    if not console.is_terminal:
        console.width = 150
    console.print(table)
    note = f"[low, high]: 95 % bootstrap interval over problems\nsweep: {path}"
    console.print(note, soft_wrap=True, markup=False)


def _cell(name: str, figure: Mapping[str, float]) -> str:
    digits = 1 if name == "response_tokens" else 3
    value, low, high = (f"{figure[end]:.{digits}f}" for end in ("value", "low", "high"))
    return f"{value} \\[{low}, {high}]"


def _buckets(first: "Weights", merge: Any, turn: InTurn) -> Any:
    from rl.offline.folders import merged_buckets

    return merged_buckets(first, merge, turn.bucket_bytes)


def _write(path: Path, content: Mapping[str, Any]) -> None:
    partial = path.with_suffix(".partial")
    partial.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
    partial.rename(path)
