"""`laconic bench step`: seconds of a training step, ours over TRL's.

Both train the lab's model on the same prompts, with the same group size, learning rate and number
of threads. Children run one after the other, round by round, each for itself: TRL's GRPOTrainer
(`rl.bench.step_trl`), and our launcher on a recipe, with vLLM (the headline) and with the
transformers engine. A step is what passes between the ends of two steps, logging included; every
child's first step warms up and is not counted.

Lengths are the model's own, or fixed: then the model's end token is one that it never samples, and
every completion runs to the limit.
"""

import itertools
import json
import logging
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rl.bench.bench import Ratio, Result, paired_ratio
from rl.bench.lab import ROOT, lab_model

RECIPE = ROOT / "recipes" / "lab" / "grpo.yaml"
LAB_MODEL = lab_model("short")
NEVER_SAMPLED = "<|system|>"
"""A token of the lab's tokenizer that only prompts hold."""

PARTS = {"rollout": "generate", "score": "score", "learn": "learn", "sync": "sync"}
"""Our parts of a step under the names of the comparison; the probe is reported beside them."""

NATURAL_LIMIT, FIXED_LIMIT = 512, 96
POLL_SECONDS = 0.005

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """What all contenders share; `steps` are counted per child, after one that is not."""

    lengths: str
    model: str
    max_response_tokens: int
    prompts: int = 32
    group_size: int = 8
    learning_rate: float = 1e-6
    threads: int
    rounds: int
    steps: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Measured:
    """One child: median seconds of a step, mean seconds of its parts, tokens of a completion."""

    seconds: float
    parts: Mapping[str, float]
    mean_tokens: float


Contender = Callable[[Setting, Path], Measured]


def run(against: str, lengths: str, rounds: int = 3, steps: int = 3) -> Result:
    """Seconds per step with vLLM over TRL's; in `extra` the rows of all, and the second ratio.

    Raises RuntimeError with a child's own words when it fails.
    """
    with tempfile.TemporaryDirectory(prefix="laconic-bench-") as folder:
        setting = make_setting(lengths, rounds, steps, Path(folder))
        contenders = {"vllm": _ours("vllm"), "trl": trl, "transformers": _ours("transformers")}
        found: dict[str, list[Measured]] = {name: [] for name in contenders}
        for number in range(rounds):
            # Who was last is first in the next round: nobody gains from the machine's warmth.
            for name in sorted(contenders, reverse=bool(number % 2)):
                measured = contenders[name](setting, Path(folder) / f"{name}-{number}")
                found[name].append(measured)
                logger.info("round %d, %s: %s", number + 1, name, measured)
    ratio = compared(found["vllm"], found["trl"])
    return Result(
        name="step",
        against=against,
        ratio=ratio.ratio,
        low=ratio.low,
        high=ratio.high,
        setting=asdict(setting) | {"model": f"lab:{LAB_MODEL.name}"},
        extra={name: described(measured) for name, measured in found.items()}
        | {"transformers_ratio": compared(found["transformers"], found["trl"])._asdict()},
    )


def make_setting(lengths: str, rounds: int, steps: int, folder: Path) -> Setting:
    """The comparison's setting; for fixed lengths with a copy of the model in `folder`."""
    fixed = lengths == "fixed"
    return Setting(
        lengths=lengths,
        model=str(endless_copy(LAB_MODEL, folder / "model") if fixed else LAB_MODEL),
        max_response_tokens=FIXED_LIMIT if fixed else NATURAL_LIMIT,
        threads=available_threads(),
        rounds=rounds,
        steps=steps,
    )


def available_threads() -> int:
    """One for each core that this process may use."""
    return len(os.sched_getaffinity(0))


def endless_copy(model: Path, target: Path) -> Path:
    """`model` with an end token that it never samples, so that only the limit ends a completion."""
    shutil.copytree(model, target)
    vocabulary = json.loads((model / "tokenizer.json").read_text())["added_tokens"]
    end = next(token["id"] for token in vocabulary if token["content"] == NEVER_SAMPLED)
    for name, key, value in (
        ("config.json", "eos_token_id", end),
        ("generation_config.json", "eos_token_id", end),
        ("tokenizer_config.json", "eos_token", NEVER_SAMPLED),
    ):
        content = json.loads((target / name).read_text())
        (target / name).write_text(json.dumps(content | {key: value}))
    return target


def _ours(engine: str) -> Contender:
    def run(setting: Setting, folder: Path) -> Measured:
        torchrun = Path(sys.executable).with_name("torchrun")
        command = [str(torchrun), str(RECIPE), *overrides(setting, engine), f"run.dir={folder}"]
        ends = ended_lines(command, folder / "metrics.jsonl", child_environment(setting.threads))
        rows = [json.loads(line) for line in ends.values()]
        return Measured(
            seconds=median_between(list(ends)),
            parts={
                name: statistics.fmean(row[f"time/{part}"] for row in rows[1:])
                for part, name in (*PARTS.items(), ("probe", "probe"))
            },
            mean_tokens=statistics.fmean(row["completions/mean_length"] for row in rows[1:]),
        )

    return run


def overrides(setting: Setting, engine: str) -> list[str]:
    """The recipe's departures: no evaluation, no tracker, the setting of the comparison."""
    return [
        f"rollout={engine}",
        *([f"rollout.num_threads={setting.threads}"] if engine == "vllm" else []),
        f"model.path={setting.model}",
        f"num_steps={1 + setting.steps}",
        f"prompts_per_step={setting.prompts}",
        f"algorithm.group_size={setting.group_size}",
        f"limit.max_response_tokens={setting.max_response_tokens}",
        f"learner.learning_rate={setting.learning_rate}",
        f"learner.num_threads={setting.threads}",
        "data.eval_path=''",
        "log.wandb=off",
        "log.progress=false",
    ]


def trl(setting: Setting, folder: Path) -> Measured:
    """TRL's trainer in a child; it says itself when its steps end."""
    folder.mkdir()
    lines = folder / "steps.jsonl"
    arguments = json.dumps(asdict(setting) | {"output": str(lines)})
    command = [sys.executable, "-m", "rl.bench.step_trl", arguments]
    ends = ended_lines(command, lines, child_environment(setting.threads))
    rows = [json.loads(line) for line in ends.values()]
    return Measured(
        seconds=median_between([row["end"] for row in rows]),
        parts={name: statistics.fmean(row[name] for row in rows[1:]) for name in PARTS.values()},
        mean_tokens=statistics.fmean(row["mean_tokens"] for row in rows[1:]),
    )


def child_environment(threads: int) -> dict[str, str]:
    """What a contender's process is started with."""
    ours = [str(ROOT), os.environ.get("PYTHONPATH", "")]
    return os.environ | {
        "OMP_NUM_THREADS": str(threads),
        "PYTHONPATH": os.pathsep.join(filter(None, ours)),
    }


def ended_lines(
    command: Sequence[str], path: Path, environment: Mapping[str, str]
) -> dict[float, str]:
    """Runs `command`; each line that it adds to `path`, by the second at which it was there.

    Raises RuntimeError when the child fails.
    """
    found: dict[float, str] = {}
    with tempfile.TemporaryFile("w+") as said:
        child = subprocess.Popen(command, env=dict(environment), stdout=said, stderr=said)
        try:
            running = True
            while running:
                running = child.poll() is None
                now = time.perf_counter()
                for line in lines_after(path, len(found)):
                    # Lines that were found together are told apart by a nanosecond.
                    found[now + 1e-9 * len(found)] = line
                time.sleep(POLL_SECONDS)
        finally:
            child.kill()
            child.wait()
        if child.returncode:
            said.seek(0)
            raise RuntimeError(f"{' '.join(command[:3])} failed:\n{said.read()[-4000:]}")
    return found


def lines_after(path: Path, count: int) -> list[str]:
    """The whole lines of `path` but the first `count`; none while there is no such file."""
    text = path.read_text() if path.is_file() else ""
    return text[: text.rfind("\n") + 1].splitlines()[count:]


def median_between(ends: Sequence[float]) -> float:
    """The median time between two ends that follow each other."""
    return statistics.median(b - a for a, b in itertools.pairwise(ends))


def compared(ours: Sequence[Measured], theirs: Sequence[Measured]) -> Ratio:
    """The ratio of the rounds' seconds."""
    return paired_ratio([one.seconds for one in ours], [one.seconds for one in theirs])


def described(measured: Sequence[Measured]) -> dict[str, Any]:
    """A contender's row: its rounds, its parts, and what it generated."""
    return {
        "seconds": [round(one.seconds, 3) for one in measured],
        "parts": {
            name: round(statistics.fmean(one.parts[name] for one in measured), 3)
            for name in measured[0].parts
        },
        "mean_tokens": round(statistics.fmean(one.mean_tokens for one in measured), 1),
    }
