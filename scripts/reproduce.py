"""Runs lab recipes over seeds, one after another on one engine, and adds their rows to the table.

    python scripts/reproduce.py                        # everything that results/lab.json lacks
    python scripts/reproduce.py hapo palu --seeds 0    # some of it
    python scripts/reproduce.py --list                 # says what would run, and how long it takes

A row is valid while the settings and the code of its run are unchanged (`scripts/code_hash.py`);
what is valid is not run again, what is stale is replaced. A run that was cut short begins again.
"""

import argparse
import fcntl
import json
import logging
import time
from collections.abc import Sequence
from contextlib import closing
from dataclasses import dataclass, replace
from statistics import mean
from typing import TYPE_CHECKING

from data.wire import decode
from rl.cli.compose import Composed, compose
from rl.cli.launch import log_to_stderr
from rl.cli.machine import this_machine
from rl.cli.threads import set_learner_threads
from rl.config import RunConfig
from scripts.code_hash import ROOT, code_hash, settings
from scripts.make_results import LAB, Row, add, key_of, read_rows, row_of, rows_text

if TYPE_CHECKING:
    from rl.cli.host import Host
    from rl.evaluate.evaluation import Evaluation
    from rl.run.interrupts import Interrupts

logger = logging.getLogger(__name__)

RECIPES, RUNS = ROOT / "recipes" / "lab", ROOT / "runs" / "table"

VARIANTS: dict[str, dict[str, tuple[str, ...]]] = {
    "constant_cap": {f"cap_{cap}": (f"limit.cap_tokens={cap}",) for cap in (32, 64)},
    "dler": {"no_dynamic_sampling": ("algorithm.dynamic_sampling=false",)},
    "gvm": {"uniform": ("allocation=uniform",)},
}
"""Runs beside the recipe as it stands: method -> variant -> overrides."""

USUAL_SECONDS = 120.0
"""What a run is taken to need while none of its method is recorded."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entry:
    """One run of the table."""

    method: str
    variant: str
    seed: int

    @property
    def name(self) -> str:
        return f"{self.method}{':' if self.variant else ''}{self.variant}"

    @property
    def command(self) -> str:
        """What makes the same run with torchrun."""
        extra = VARIANTS.get(self.method, {}).get(self.variant, ())
        return " ".join(
            ["torchrun", f"recipes/lab/{self.method}.yaml", *extra, f"seed={self.seed}"]
        )

    def compose(self, further: Sequence[str] = ()) -> Composed:
        return compose(RECIPES / f"{self.method}.yaml", [*self.command.split()[2:], *further])


def main(arguments: Sequence[str] | None = None) -> int:
    """Runs the command line; returns the exit status."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("names", nargs="*", metavar="METHOD[:VARIANT]")
    parser.add_argument("--seeds", nargs="+", type=int, default=[0, 1, 2])
    parser.add_argument("--threads", type=int, default=0, help="of engine and learner, each")
    parser.add_argument("--list", action="store_true", help="run nothing")
    options = parser.parse_args(arguments)
    names = options.names or all_names()
    if unknown := sorted(set(names) - set(all_names())):
        parser.error(f"no such runs: {', '.join(unknown)}; there are {', '.join(all_names())}")
    entries = missing(names, options.seeds, read_rows(LAB))
    print(summary(entries, read_rows(LAB)), flush=True)
    failed = [] if options.list else run_all(entries, options.threads)
    for entry in failed:
        print(f"failed: {entry.command}")
    return int(bool(failed))


def all_names() -> list[str]:
    """Every lab recipe, followed by its variants."""
    return [
        Entry(method=path.stem, variant=variant, seed=0).name
        for path in sorted(RECIPES.glob("*.yaml"))
        for variant in ("", *VARIANTS.get(path.stem, {}))
    ]


def missing(names: Sequence[str], seeds: Sequence[int], rows: Sequence[Row]) -> list[Entry]:
    """What has no valid row, seed by seed."""
    hashes = {key_of(row): row["code_hash"] for row in rows}
    found = []
    for seed in seeds:
        for name in names:
            method, _, variant = name.partition(":")
            entry = Entry(method=method, variant=variant, seed=seed)
            config = entry.compose().config
            key = key_of(
                {"lab": lab_of(config), "method": method, "variant": variant, "seed": seed}
            )
            if hashes.get(key) != code_hash(config):
                found.append(entry)
    return found


def summary(entries: Sequence[Entry], rows: Sequence[Row]) -> str:
    """The runs to come, and the seconds that rows of the same methods took."""
    total, lines = 0.0, []
    for entry in entries:
        seconds = [row["wall_s"] for row in rows if row["method"] == entry.method]
        expected = mean(seconds) if seconds else USUAL_SECONDS
        total += expected
        lines.append(f"  {entry.name} seed {entry.seed}, about {expected:.0f} s")
    return "\n".join([f"{len(entries)} runs, about {total / 60:.0f} minutes", *lines])


def run_all(entries: Sequence[Entry], threads: int) -> list[Entry]:
    """Runs `entries` in turn on one host; a row is written as soon as its run has ended.

    Returns those that failed: the others do not wait for them to be mended.
    """
    machine = this_machine()
    log_to_stderr(machine)
    set_learner_threads(threads, machine)

    from transformers.utils.logging import disable_progress_bar

    from rl.cli.host import Host
    from rl.errors import Interrupted
    from rl.run.interrupts import Interrupts

    disable_progress_bar()
    bases: dict[str, Evaluation] = {}
    failed = []
    with Interrupts() as interrupts, closing(Host()) as host:
        for number, entry in enumerate(entries, start=1):
            print(f"run {number} of {len(entries)}: {entry.command}", flush=True)
            try:
                run_entry(entry, threads, host, interrupts, bases)
            except Interrupted:
                raise
            # One run's failure, of whatever kind, is not that of the next.
            except Exception:
                logger.exception("%s failed", entry.command)
                failed.append(entry)
    return failed


def run_entry(
    entry: Entry,
    threads: int,
    host: "Host",
    interrupts: "Interrupts",
    bases: "dict[str, Evaluation]",
) -> None:
    """One run and its row. `bases` holds evaluations of initial weights, which runs share."""
    from rl.cli.train import prepare, run_job
    from rl.evaluate.evaluation import Evaluation
    from rollout.supervisor import Supervisor

    began = time.time()
    folder = RUNS / f"{entry.name.replace(':', '-')}-{entry.seed}-{began:.0f}"
    composed = entry.compose(
        [
            f"rollout.num_threads={threads}",
            f"learner.num_threads={threads}",
            f"run.dir={folder}",
            "log.wandb=off",
        ]
    )
    job = prepare(composed.config, entry.method, composed.text)
    job = replace(job, start=replace(job.start, began=began))
    base = base_key(composed.config)
    run_job(job, host, interrupts, Supervisor.release, bases.get(base))
    bases[base] = decode((folder / "eval" / "base.msgpack").read_bytes(), Evaluation)
    made = json.loads((folder / "summary.json").read_text())
    record(
        row_of(
            made, lab_of(composed.config), entry.variant, entry.command, code_hash(composed.config)
        )
    )


def lab_of(config: RunConfig) -> str:
    """`short` or `long`: the lab whose problems a run trains on."""
    return config.data.path.removeprefix("lab:")


def base_key(config: RunConfig) -> str:
    """What the evaluation before training depends on."""
    on = settings(config)
    names = ("model", "data", "budget", "verifier", "rollout", "evaluation")
    parts = {name: on.get(name) for name in names}
    return json.dumps([parts, config.limit.max_response_tokens, config.seed], sort_keys=True)


def record(row: Row) -> None:
    """Adds `row` to results/lab.json in place of a stale one; others may do so meanwhile."""
    with LAB.open("r+") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        rows = [old for old in read_rows(LAB) if key_of(old) != key_of(row)]
        text = rows_text(add(rows, row))
        file.write(text)
        file.truncate()


if __name__ == "__main__":
    raise SystemExit(main())
