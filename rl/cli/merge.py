"""`laconic merge METHOD BASE OTHER --to FOLDER`: one model made of two, without training.

Flow: every problem of options and folders at once -> tensor by tensor into a new folder -> a check
that transformers loads it.
"""

import argparse
import sys
from contextlib import ExitStack
from pathlib import Path

from rl.cli import merge_sweep
from rl.cli.merge_methods import (
    METHODS,
    Options,
    Problems,
    given_options,
    option_problems,
    read_both,
    target_problems,
)


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `merge` with one subcommand for each line of `METHODS`, and `sweep`."""
    parser = commands.add_parser("merge", help="make one model of two", description=__doc__)
    names = parser.add_subparsers(required=True, metavar="METHOD")
    for name, method in METHODS.items():
        command = names.add_parser(name, help=method.summary, description=method.summary)
        command.add_argument("base", metavar="BASE", help="a folder, a run's folder, or lab:short")
        command.add_argument("other", metavar="OTHER", help="the other one, or a LoRA's folder")
        command.add_argument("--to", type=Path, required=True, metavar="FOLDER")
        command.set_defaults(run=run, method=name, overrides=[])
        usual = "" if method.default is None else f" ({method.default})"
        command.add_argument(
            f"--{method.swept}",
            type=float,
            default=method.default,
            required=method.default is None,
            help=method.meaning + usual,
        )
        method.add_options(command)
    merge_sweep.add_command(names)


def run(asked: argparse.Namespace) -> int:
    """Merges; 1 with one message when something is in the way."""
    from transformers.utils.logging import disable_progress_bar

    from rl.run.export import check_export

    disable_progress_bar()
    try:
        if asked.overrides:
            raise ValueError(f"takes no overrides: {' '.join(asked.overrides)}")
        merge_folders(asked.method, asked.base, asked.other, asked.to, given_options(asked))
        num_parameters = check_export(asked.to)
    except (ValueError, OSError) as error:
        sys.stderr.write(f"laconic merge: {error}\n")
        return 1
    sys.stdout.write(f"{asked.to}: {asked.method}, {num_parameters:,} parameters\n")
    return 0


def merge_folders(name: str, base: str, other: str, target: Path, options: Options) -> None:
    """Writes the merged model to `target`; raises `Problems` with all that is in the way."""
    from rl.offline.folders import write_merged

    problems = [*option_problems(options), *target_problems(target)]
    try:
        first, second, misfits = read_both(name, base, other)
    except Problems as unreadable:
        raise Problems([*problems, *unreadable.problems]) from None
    if problems := problems + misfits:
        raise Problems(problems)
    note = {"method": name, "base": base, "other": other, **options}
    with ExitStack() as files:
        merge = METHODS[name].build(first, second, options, files)
        write_merged(first, target, merge, note)
