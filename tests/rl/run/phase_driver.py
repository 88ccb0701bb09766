"""A recipe as a user runs it, that marks its phases and is struck in one of them.

python phase_driver.py PLAN RECIPE key=value...     (or under torchrun)

PLAN is JSON: `marks`, a file to which every phase of rank 0 is appended with its seconds; and, to
be struck, `rank`, `phase`, `occurrence` (from 1), `after_seconds` and `strike`: a shell command
with {pid}, {group} and {parent}. `disable` names methods of the learner group that do nothing,
`forget` parts of the run's state that a resumed run does not load. `loaded` is a file to which the
weights that a checkpoint gave back are written.
"""

import json
import os
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from time import perf_counter
from typing import Any

from safetensors.torch import save_file

import rl.cli.host
import rl.cli.launch
import rl.cli.train
import rl.run.checkpoint
from rl.learner.channel import Channel
from rl.learner.deepspeed_learner import DeepSpeedLearner
from rl.learner.ranks import LearnerGroup
from rl.run.judge import Judge
from rl.run.loop import Run
from rl.run.probe import Probe
from rollout.stream import Stream
from rollout.vllm.transfer import SharedMemoryTransfer

PHASES: dict[str, tuple[Any, str]] = {
    "start": (rl.cli.host, "start_engine"),
    "rollout": (Stream, "next_batch"),
    "update": (LearnerGroup, "update"),
    "rank_update": (DeepSpeedLearner, "update"),
    "waiting": (Channel, "await_command"),
    "sync": (SharedMemoryTransfer, "send"),
    "probe": (Probe, "__call__"),
    "checkpoint": (DeepSpeedLearner, "save"),
    "seal": (rl.run.checkpoint, "seal"),
    "evaluation": (Judge, "__call__"),
}
ENTERED: Counter[str] = Counter()


def main(plan: dict[str, Any], recipe: str, overrides: list[str]) -> None:
    for phase, (owner, name) in PHASES.items():
        setattr(owner, name, marked(phase, getattr(owner, name), plan))
    for name in plan.get("disable", []):
        setattr(LearnerGroup, name, lambda group, folder: None)
    build = rl.cli.train.build_reward
    rl.cli.train.build_reward = lambda *parts: marked("score", build(*parts), plan)
    if names := plan.get("forget", []):
        forget(names)
    if path := plan.get("loaded"):
        keep_loaded(path)
    rl.cli.launch.main(recipe, overrides)


def forget(names: list[str]) -> None:
    """The named parts of a run keep the state that they begin with."""
    load = Run.load

    def load_the_others(run: Run, state: dict[str, Any]) -> None:
        load(run, {**state, **{name: getattr(run, name).state() for name in names}})

    Run.load = load_the_others  # type: ignore[method-assign]


def keep_loaded(path: str) -> None:
    """Writes down the policy, whole, as it is after a checkpoint has been loaded."""
    load = LearnerGroup.load

    def load_and_keep(group: LearnerGroup, folder: Path) -> None:
        load(group, folder)
        save_file(group.fingerprints(lambda name, tensor: tensor.clone()), path)

    LearnerGroup.load = load_and_keep  # type: ignore[method-assign]


def marked(phase: str, function: Callable[..., Any], plan: dict[str, Any]) -> Callable[..., Any]:
    @wraps(function)
    def wrapper(*args: Any, **kwargs: Any) -> Any:
        ENTERED[phase] += 1
        if is_aimed_at(phase, plan):
            strike(plan)
        start = perf_counter()
        result = function(*args, **kwargs)
        mark(phase, perf_counter() - start, plan)
        return result

    return wrapper


def is_aimed_at(phase: str, plan: dict[str, Any]) -> bool:
    here = int(os.environ.get("RANK", "0")) == plan.get("rank", 0)
    return here and plan.get("phase") == phase and plan["occurrence"] == ENTERED[phase]


def strike(plan: dict[str, Any]) -> None:
    """From a process of another session: no lock of this one delays it. Without `after_seconds` it
    is waited for, so that it falls into this phase, however short that is."""
    mark("strike", time.time() + plan["after_seconds"], plan)
    places = {"pid": os.getpid(), "group": os.getpgid(0), "parent": os.getppid()}
    command = plan["strike"].format(**places)
    striker = subprocess.Popen(
        ["sh", "-c", f"sleep {plan['after_seconds']:.4f}; {command}"], start_new_session=True
    )
    if plan["after_seconds"] == 0:
        striker.wait()


def mark(phase: str, seconds: float, plan: dict[str, Any]) -> None:
    if os.environ.get("RANK", "0") == "0" or phase == "strike":
        with open(plan["marks"], "a") as file:
            file.write(json.dumps({"phase": phase, "seconds": seconds}) + "\n")


if __name__ == "__main__":
    main(json.loads(sys.argv[1]), sys.argv[2], sys.argv[3:])
