"""`laconic bench learner`: tokens per second of an update, ours over TRL's.

Both train the lab's model on the same minibatch, in float32, with the same limit of tokens in a
forward pass and the same threads, each in a child of its own, in turn, for each response length.
The children's gradient norms must agree, or they did not do the same. Tokens are those of prompts
and responses, padding aside. Memory is a child's peak resident size less what it has in use before
its first update, the model and all libraries: gradients, optimizer state and activations.
"""

import json
import logging
import math
import statistics
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl.bench.bench import Result, paired_ratio
from rl.bench.minibatch import Setting, fixed_lengths, natural_lengths
from rl.bench.step import LAB_MODEL, available_threads, child_environment, ended_lines

SPREADS = {"natural": natural_lengths, "fixed": fixed_lengths}
LONGEST = (128, 512, 2048, 8192, 16384)
NUM_ROWS, GROUP_SIZE, PROMPT_TOKENS = 32, 8, 64
MAX_TOKENS = 16384
"""Of a forward pass, padding included: the learner's default."""
AGREEMENT = 1e-3
"""Largest relative difference of the contenders' gradient norms."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One child: seconds of its updates, peak memory that these need, norm of its gradient."""

    seconds: list[float]
    peak_bytes: int
    grad_norm: float


def run(against: str, lengths: str, longest: str, rounds: int = 2, updates: int = 2) -> Result:
    """Our tokens per second over TRL's over response lengths up to `longest`.

    Raises RuntimeError with a child's own words when it fails, or when gradients differ.
    """
    spread = SPREADS[lengths]
    with tempfile.TemporaryDirectory(prefix="laconic-bench-") as folder:
        settings = [
            make_setting(spread(length, NUM_ROWS), updates, Path(folder))
            for length in LONGEST
            if length <= int(longest)
        ]
        measured = [(setting, *alternated(setting, against, rounds)) for setting in settings]
    rows = {str(max(setting.lengths)): described(setting, *both) for setting, *both in measured}
    return Result(
        name="learner",
        against=against,
        **paired_ratio(
            [rate(setting, one) for setting, ours, _ in measured for one in ours],
            [rate(setting, one) for setting, _, theirs in measured for one in theirs],
        )._asdict(),
        setting={
            "model": f"lab:{LAB_MODEL.name}",
            "dtype": "float32",
            "lengths": lengths,
            "rows": NUM_ROWS,
            "prompt_tokens": PROMPT_TOKENS,
            "max_tokens_per_forward": MAX_TOKENS,
            "threads": settings[-1].threads,
            "rounds": rounds,
            "updates": updates,
        },
        extra={
            "peak_memory_ratio": rows[str(max(settings[-1].lengths))]["peak_memory_ratio"],
            "by_length": rows,
        },
    )


def alternated(
    setting: Setting, against: str, rounds: int
) -> tuple[list[Measured], list[Measured]]:
    """Our children and theirs; who was second in one round is first in the next."""
    found: dict[str, list[Measured]] = {"ours": [], against: []}
    for number in range(rounds):
        for name in sorted(found, reverse=bool(number % 2)):
            found[name].append(child(name, setting))
            logger.info("%d tokens, %s: %s", max(setting.lengths), name, found[name][-1])
    check_gradients([*found["ours"], *found[against]])
    return found["ours"], found[against]


def make_setting(lengths: tuple[int, ...], updates: int, folder: Path) -> Setting:
    """The comparison at responses of `lengths` tokens, on the lab's model."""
    config = json.loads((LAB_MODEL / "config.json").read_text())
    return Setting(
        model=str(LAB_MODEL),
        lengths=lengths,
        prompt_tokens=PROMPT_TOKENS,
        group_size=GROUP_SIZE,
        vocabulary=config["vocab_size"],
        max_tokens=MAX_TOKENS,
        learning_rate=1e-6,
        threads=available_threads(),
        updates=updates,
        output=str(folder / "outcome.json"),
    )


def child(name: str, setting: Setting) -> Measured:
    """Runs the contender `name` in a process of its own."""
    output = Path(setting.output)
    output.unlink(missing_ok=True)
    command = [sys.executable, "-m", f"rl.bench.learner_{name}", json.dumps(asdict(setting))]
    (line,) = ended_lines(command, output, child_environment(setting.threads)).values()
    return Measured(**json.loads(line))


def check_gradients(measured: Sequence[Measured]) -> None:
    """Raises RuntimeError unless all have the same gradient norm."""
    norms = [one.grad_norm for one in measured]
    if not all(math.isclose(norm, norms[0], rel_tol=AGREEMENT) for norm in norms):
        raise RuntimeError(f"the contenders' gradients differ (norms {norms}): it says nothing")


def rate(setting: Setting, measured: Measured) -> float:
    """Tokens per second of the median update."""
    return setting.num_tokens / statistics.median(measured.seconds)


def described(
    setting: Setting, ours: Sequence[Measured], theirs: Sequence[Measured]
) -> dict[str, Any]:
    """The row of one response length."""
    peaks = [max(one.peak_bytes for one in side) for side in (ours, theirs)]
    return {
        "mean_length": round(statistics.fmean(setting.lengths), 1),
        "ours_tokens_per_second": [round(rate(setting, one)) for one in ours],
        "theirs_tokens_per_second": [round(rate(setting, one)) for one in theirs],
        "ours_peak_megabytes": round(peaks[0] / 1e6),
        "theirs_peak_megabytes": round(peaks[1] / 1e6),
        "peak_memory_ratio": round(peaks[0] / peaks[1], 3),
    }
