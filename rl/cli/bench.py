"""`laconic bench NAME [--against A] [--json]`: ours over theirs, alternating in one run."""

import argparse
import json
import logging
import sys


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `bench` and its one benchmark, `step`."""
    parser = commands.add_parser(
        "bench", help="measure a part against what it replaces", description=__doc__
    )
    names = parser.add_subparsers(required=True, metavar="NAME")
    step = names.add_parser("step", help="ratio of seconds per training step")
    step.add_argument("--against", choices=["trl"], default="trl")
    step.add_argument("--lengths", choices=["natural", "fixed"], default="natural")
    step.add_argument("--json", action="store_true", help="end with one line of JSON")
    step.set_defaults(run=main, overrides=[])


def main(asked: argparse.Namespace) -> int:
    """Runs the benchmark that was asked for and prints its result."""
    from rl.bench.step import bench_step

    logging.basicConfig(format="%(message)s")
    logging.getLogger("rl.bench").setLevel(logging.INFO)
    result = bench_step(asked.against, asked.lengths)
    sys.stdout.write(json.dumps(result, indent=None if asked.json else 2) + "\n")
    return 0
