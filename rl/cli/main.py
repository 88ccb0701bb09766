"""The `laconic` command: one subcommand, one function."""

import argparse
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from rl.cli import bench, dpo, export, merge, pairs, record, report, reward_check, serve
from rl.cli.compose import compose
from rl.cli.launch import launch, refuse
from rl.cli.machine import this_machine
from rl.cli.problems import group_problems
from rl.cli.recipe import RecipeError


def main(arguments: Sequence[str] | None = None) -> None:
    """Runs the subcommand and exits with its code."""
    parser = _parser()
    asked, further = parser.parse_known_args(arguments)
    if unknown := [text for text in further if text.startswith("-")]:
        parser.error(f"unknown option {' '.join(unknown)}")
    asked.overrides += further
    raise SystemExit(asked.run(asked))


def train(asked: argparse.Namespace) -> int:
    """`laconic train RECIPE key=value`: as `torchrun RECIPE key=value`, in one process."""
    return launch(asked.recipe, asked.overrides)


def evaluate(asked: argparse.Namespace) -> int:
    """`laconic eval RECIPE key=value`: the recipe's held-out problems, answered by a model."""
    from rl.cli.eval_options import FurtherOptions
    from rl.cli.evaluate import main as run

    further = FurtherOptions(decode=asked.decode, budgets=asked.budgets, efforts=asked.efforts)
    return run(asked.recipe, asked.overrides, asked.model, asked.base, further)


def plan(asked: argparse.Namespace) -> int:
    """`laconic plan RECIPE key=value`: what the run would use; starts nothing."""
    from rl.cli.plan import plan_text

    machine = this_machine(num_gpus=asked.gpus, num_learners=asked.nproc_per_node)
    try:
        composed = compose(asked.recipe, asked.overrides, machine)
        if problems := group_problems(composed.config, machine):
            raise RecipeError(problems)
    except RecipeError as error:
        refuse(asked.recipe, error, machine)
        return 2
    sys.stdout.write(plan_text(asked.recipe, composed.config, machine))
    return 0


def doctor(asked: argparse.Namespace) -> int:
    """`laconic doctor`: what works here, and the mend for what does not; 0 if the quickstart runs.

    A line is `ok`, `warn` (something the quickstart does not need) or `fail`.
    """
    from rl.cli.doctor import examine
    from rl.cli.finding import line, runs, verdict

    findings = []
    for finding in examine(this_machine(), engine=asked.engine):
        findings.append(finding)
        sys.stdout.write(line(finding) + "\n")
        sys.stdout.flush()
    sys.stdout.write(f"\n{verdict(findings)}\n")
    return 0 if runs(findings) else 1


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="laconic", description="Trains reasoning models to think in fewer tokens."
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    _add(commands, "train", train, "train a recipe in one process")
    planner = _add(commands, "plan", plan, "resolve and check a recipe; print devices and memory")
    planner.add_argument("--gpus", type=int, help="plan for this many GPUs, not those found here")
    planner.add_argument("--nproc-per-node", type=int, help="learner processes, as for torchrun")
    bench.add_command(commands)
    export.add_command(commands)
    merge.add_command(commands)
    record.add_command(commands)
    report.add_command(commands)
    pairs.add_command(commands)
    dpo.add_command(commands)
    reward_check.add_command(commands)
    serve.add_command(commands)
    examiner = commands.add_parser("doctor", help="what works here, and the mend for what does not")
    examiner.add_argument(
        "--engine", action="store_true", help="also start vLLM and sample a token"
    )
    examiner.set_defaults(run=doctor, overrides=[])
    judge = _add(commands, "eval", evaluate, "evaluate a model on a recipe's held-out problems")
    judge.add_argument(
        "--model", default="", help="Hub name, folder, run or checkpoint; else the recipe's model"
    )
    judge.add_argument(
        "--base", default="", help="what to compare with: an earlier results.json, or a model"
    )
    judge.add_argument(
        "--decode", default="", metavar="VOTES", help="such as majority@8,short-3@8,first-finish@8"
    )
    judge.add_argument(
        "--budgets", default="", help="ask all problems for each of these tokens, such as 50,100"
    )
    judge.add_argument(
        "--efforts", default="", help="ask all problems for each of these efforts, such as 0.25,1"
    )
    return parser


def _add(
    commands: "argparse._SubParsersAction[argparse.ArgumentParser]",
    name: str,
    run: Callable[[argparse.Namespace], int],
    summary: str,
) -> argparse.ArgumentParser:
    parser = commands.add_parser(name, help=summary, description=run.__doc__)
    parser.add_argument("recipe", type=Path, help="a recipe's YAML file")
    parser.add_argument("overrides", nargs="*", help="key=value or group=name, as Hydra reads them")
    parser.set_defaults(run=run)
    return parser
