"""`laconic bench NAME [--against A] [--json]`: ours over theirs, alternating in one run."""

import argparse
import json
import logging
import sys
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pkgutil import resolve_name

from rl.bench.bench import Result


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """One benchmark: its function, what it measures, and its options, each value's default first.

    The function is given the options by name, and imported when it runs.
    """

    run: str
    ratio_of: str
    options: Mapping[str, tuple[str, ...]]


BENCHES = {
    "rewards": Bench(
        run="rl.bench.rewards:run",
        ratio_of="completions scored per second",
        options={"against": ("serial",)},
    ),
    "stream": Bench(
        run="rl.bench.stream:run",
        ratio_of="tokens per second",
        options={"against": ("vllm",)},
    ),
    "speculation": Bench(
        run="rl.bench.speculation:run",
        ratio_of="tokens per second from the second epoch on",
        options={
            "against": ("off", "suffix", "fixed_1", "fixed_2", "fixed_4", "fixed_8"),
            "size": ("0.5M", "5M", "50M"),
            "temperature": ("1.0", "2.0"),
            "drafts": ("history", "wrong"),
        },
    ),
    "tree": Bench(
        run="rl.bench.tree:run",
        ratio_of="sampled tokens per leaf",
        options={"against": ("independent",)},
    ),
    "windows": Bench(
        run="rl.bench.windows:run",
        ratio_of="seconds per training step",
        options={"against": ("full", "carry_over")},
    ),
    "step": Bench(
        run="rl.bench.step:run",
        ratio_of="seconds per training step",
        options={"against": ("trl",), "lengths": ("natural", "fixed")},
    ),
    "learner": Bench(
        run="rl.bench.learner:run",
        ratio_of="tokens per second of an update",
        options={
            "against": ("trl",),
            "lengths": ("natural", "fixed"),
            "longest": ("2048", "8192", "16384"),
        },
    ),
    "sync": Bench(
        run="rl.bench.sync:run",
        ratio_of="seconds per publication",
        options={"against": ("reload", "memcpy")},
    ),
}


def add_command(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    """Adds `bench` with one subcommand for each line of `BENCHES`."""
    summary = "measure a part against what it replaces"
    parser = commands.add_parser("bench", help=summary, description=__doc__)
    names = parser.add_subparsers(required=True, metavar="NAME")
    for name, bench in BENCHES.items():
        command = names.add_parser(name, help=f"ratio of {bench.ratio_of}")
        for option, values in bench.options.items():
            command.add_argument(f"--{option}", choices=values, default=values[0])
        command.add_argument("--json", action="store_true", help="end with one line of JSON")
        command.set_defaults(run=main, bench=bench, overrides=[])


def main(asked: argparse.Namespace) -> int:
    """Runs the benchmark that was asked for and prints its result."""
    if asked.overrides:
        sys.stderr.write(f"laconic bench: {' '.join(asked.overrides)}: takes no further words\n")
        return 2
    logging.basicConfig(format="%(message)s")
    logging.getLogger("rl.bench").setLevel(logging.INFO)
    bench: Bench = asked.bench
    result: Result = resolve_name(bench.run)(
        **{option: getattr(asked, option) for option in bench.options}
    )
    sys.stdout.write(json.dumps(asdict(result)) if asked.json else _as_text(result, bench))
    sys.stdout.write("\n")
    return 0


def _as_text(result: Result, bench: Bench) -> str:
    lines = [
        f"{result.name} against {result.against}: {result.ratio:.2f} "
        f"[{result.low:.2f}, {result.high:.2f}], ratio of {bench.ratio_of}"
    ]
    rows = {**result.setting, **result.extra}
    return "\n".join([*lines, *(f"  {name}: {value}" for name, value in rows.items())])
