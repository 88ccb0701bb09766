"""Finished runs of an experiment, each in a folder VARIANT-seedN."""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rl.evaluate.outcomes import Outcomes, read_outcomes

NAME = re.compile(r"(?P<variant>.+)-seed(?P<seed>\d+)")


@dataclass(frozen=True, slots=True, kw_only=True)
class NamedRun:
    """A finished run in `folder`; `summary` is its summary.json, `metrics` its metrics.jsonl."""

    variant: str
    seed: int
    folder: Path
    summary: dict[str, Any]
    metrics: list[dict[str, Any]]

    def outcomes(self) -> Outcomes:
        """What became of the samples at T=1 after training."""
        return read_outcomes(
            self.folder / "eval" / f"step_{self.summary['steps']:05d}.parquet"
        ).sampled


def named_runs(folder: Path) -> Iterator[NamedRun]:
    """The runs below `folder` that have a summary; one that was stopped has none.

    Raises ValueError for a run whose folder is not named VARIANT-seedN.
    """
    for summary in sorted(folder.glob("*/summary.json")):
        run = summary.parent
        if not (named := NAME.fullmatch(run.name)):
            raise ValueError(f"{run}: name the run's folder VARIANT-seedN")
        lines = (run / "metrics.jsonl").read_text().splitlines()
        yield NamedRun(
            variant=named["variant"],
            seed=int(named["seed"]),
            folder=run,
            summary=json.loads(summary.read_text()),
            metrics=[json.loads(line) for line in lines],
        )
