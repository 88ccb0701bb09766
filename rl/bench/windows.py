"""`laconic bench windows`: seconds of a training step with T-PPO's windows over those without.

Children train the lab's long model by GRPO on the same prompts, one after the other, round by
round: with windows, with full rollouts in synchronous steps, and with full rollouts on the
asynchronous stream, where answers go on while the learner updates (`carry_over`). The last two are
as stale as they may be, alike. Steps in which the stream fills are not counted.
"""

import json
import logging
import os
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from statistics import fmean
from typing import Any

from rl.bench.bench import Result, paired_ratio
from rl.bench.lab import ROOT
from rl.bench.step import RECIPE, ended_lines

logger = logging.getLogger(__name__)

LIMIT, WINDOW, STALENESS = 1024, 256, 4
"""An answer has at most four windows, so none is older than its staleness."""
NUM_PROMPTS, GROUP_SIZE = 4, 8
CONTENDERS = {
    "windows": (f"rollout.window_tokens={WINDOW}", f"rollout.max_staleness={STALENESS}"),
    "full": (),
    "carry_over": (f"rollout.max_staleness={STALENESS}",),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """Of a child's counted steps: seconds and trained tokens of one, and how busy the engine was.

    `idle_share` is the share of the time without any request, `running` the mean number of them.
    """

    seconds: float
    tokens: float
    idle_share: float
    running: float


def run(against: str, rounds: int = 3, steps: int = 4) -> Result:
    """Seconds per step with windows over those of `against` (full, carry_over).

    Raises RuntimeError with a child's own words when it fails.
    """
    found: dict[str, list[Measured]] = {"windows": [], against: []}
    with tempfile.TemporaryDirectory(prefix="laconic-bench-") as folder:
        for number in range(rounds):
            # Who was last is first in the next round: nobody gains from the machine's warmth.
            for name in sorted(found, reverse=bool(number % 2)):
                measured = child(name, Path(folder) / f"{name}-{number}", steps, seed=number)
                found[name].append(measured)
                logger.info("round %d, %s: %s", number + 1, name, measured)
    ours, theirs = found["windows"], found[against]
    return Result(
        name="windows",
        against=against,
        **paired_ratio([m.seconds for m in ours], [m.seconds for m in theirs])._asdict(),
        setting={
            "model": "lab:long",
            "limit": LIMIT,
            "window": WINDOW,
            "max_staleness": STALENESS,
            "prompts": NUM_PROMPTS,
            "group_size": GROUP_SIZE,
            "rounds": rounds,
            "steps": steps,
            "cores": os.cpu_count(),
        },
        extra={
            "idle_share": {name: fmean(m.idle_share for m in each) for name, each in found.items()},
            **{name: described(each) for name, each in found.items()},
        },
    )


def child(name: str, folder: Path, steps: int, seed: int) -> Measured:
    """Trains by one contender in a process of its own; its last `steps` steps count."""
    torchrun = Path(sys.executable).with_name("torchrun")
    command = [str(torchrun), str(RECIPE), *overrides(name, steps, seed), f"run.dir={folder}"]
    path = os.pathsep.join(filter(None, [str(ROOT), os.environ.get("PYTHONPATH", "")]))
    ends = ended_lines(command, folder / "metrics.jsonl", os.environ | {"PYTHONPATH": path})
    return measured(list(ends), [json.loads(line) for line in ends.values()], steps)


def overrides(name: str, steps: int, seed: int) -> list[str]:
    """The recipe's departures: the long lab, steps to warm up, no evaluation and no tracker."""
    return [
        "model=lab_long",
        "data=lab_long",
        "data.eval_path=''",
        f"limit.max_response_tokens={LIMIT}",
        f"prompts_per_step={NUM_PROMPTS}",
        f"algorithm.group_size={GROUP_SIZE}",
        f"num_steps={1 + STALENESS + steps}",
        "learner.learning_rate=1e-6",
        f"seed={seed}",
        "log.wandb=off",
        "log.progress=false",
        *CONTENDERS[name],
    ]


def measured(ends: Sequence[float], rows: Sequence[dict[str, Any]], steps: int) -> Measured:
    """The means of the last `steps` steps, which end at `ends` and log `rows`."""
    counted = rows[-steps:]
    return Measured(
        seconds=(ends[-1] - ends[-1 - steps]) / steps,
        tokens=fmean(row["step_tokens"] for row in counted),
        idle_share=fmean(row["rollout/idle_share"] for row in counted),
        running=fmean(row["rollout/mean_running"] for row in counted),
    )


def described(measured: Sequence[Measured]) -> dict[str, Any]:
    """A contender's row: the seconds of its rounds, and the means of the rest."""
    return {
        "seconds": [round(one.seconds, 3) for one in measured],
        "trained_tokens": round(fmean(one.tokens for one in measured)),
        "mean_running": round(fmean(one.running for one in measured), 2),
        "seconds_per_1000_tokens": round(
            1000 * sum(one.seconds for one in measured) / sum(one.tokens for one in measured), 4
        ),
    }
