"""From a recipe's path and overrides to a running training: check, set threads, hand over.

Nothing heavy is imported before the configuration is right.
"""

import logging
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from rewards.pool import PoolError
from rewards.protocols import RewardError
from rl.cli.compose import Composed, compose
from rl.cli.hub import hub_problem
from rl.cli.installed import engine_problem
from rl.cli.machine import Machine, this_machine
from rl.cli.problems import group_problems
from rl.cli.recipe import RecipeError, show
from rl.cli.resume import resumed
from rl.cli.threads import set_learner_threads
from rl.errors import INTERRUPTED, CheckpointError, Interrupted, NoBatchError, RankError
from rl.limits.limit import LimitError
from rl.run.guards import GuardError
from rl.run.tracker import key_problem
from rollout.engine import EngineError
from rollout.stream import GraderError

logger = logging.getLogger(__name__)

WAIT_SECONDS = 10.0
"""How long other ranks leave rank 0 to say what is wrong before torchrun ends them all."""


def main(recipe: str, overrides: Sequence[str]) -> None:
    """Runs a recipe and exits: 0; 2 when it cannot run as configured; 1 when it failed; 75 when
    SIGTERM or SIGINT ended it in good order, so that `resume` goes on."""
    raise SystemExit(launch(Path(recipe), overrides))


def launch(recipe: Path, overrides: Sequence[str]) -> int:
    """Trains `recipe`; returns the exit code."""
    machine = this_machine()
    log_to_stderr(machine)
    try:
        composed = _checked(recipe, overrides, machine)
        threads = set_learner_threads(composed.config.learner.num_threads, machine)
        logger.info(
            "threads: %d learner process(es) with %d each, %d cores",
            machine.num_local_learners,
            threads,
            machine.num_cores,
        )
        # The user's own rewards lie beside the recipe; at the end of the path they hide nothing.
        sys.path.append(str(recipe.parent.absolute()))
        from rl.cli import train

        train.main(composed.config, recipe, composed.text)
    except RecipeError as error:
        refuse(recipe, error, machine)
        return 2
    except (
        CheckpointError, EngineError, GraderError, GuardError, LimitError, NoBatchError, PoolError,
        RankError, RewardError,
    ) as error:  # fmt: skip
        logger.error("laconic: %s: %s", type(error).__name__, error)
        return 1
    except Interrupted as interrupted:
        logger.info("laconic: %s", interrupted)
        return INTERRUPTED
    return 0


def refuse(recipe: Path, error: RecipeError, machine: Machine) -> None:
    """Says on rank 0 what is wrong; the others wait, or torchrun would end rank 0 with them."""
    if machine.rank:
        time.sleep(WAIT_SECONDS)
        return
    count = len(error.problems)
    head = f"laconic: {show(recipe)} has {count} problem{'s' if count > 1 else ''}:"
    sys.stderr.write(f"{head}\n{error}\n")
    sys.stderr.flush()


def _checked(recipe: Path, overrides: Sequence[str], machine: Machine) -> Composed:
    path, overrides = resumed(recipe, overrides)
    composed = compose(path, overrides, machine)
    if problems := group_problems(composed.config, machine):
        raise RecipeError(problems)
    if machine.rank == 0:
        config = composed.config
        services = (
            engine_problem(config.rollout),
            hub_problem(config.model),
            key_problem(config.log.wandb),
        )
        if found := [problem for problem in services if problem]:
            raise RecipeError(found)
    return composed


def log_to_stderr(machine: Machine) -> None:
    """Messages of our packages as plain lines; those of other ranks from warnings on."""
    logging.basicConfig(format="%(message)s")
    for package in ("data", "rewards", "rollout", "rl"):
        logging.getLogger(package).setLevel(logging.WARNING if machine.rank else logging.INFO)
