"""What this process runs on: cores, GPUs, and torchrun's processes; asked without torch."""

import os
from dataclasses import dataclass
from pathlib import Path

from rollout.config import Placement
from rollout.vllm.placement import resolved


@dataclass(frozen=True, slots=True, kw_only=True)
class Machine:
    """One machine, and how many learner processes run on it (N) and in all."""

    num_cores: int
    num_gpus: int
    num_local_learners: int = 1
    num_learners: int = 1
    rank: int = 0


def this_machine(num_gpus: int | None = None, num_learners: int | None = None) -> Machine:
    """The machine as the environment and the device files describe it, or as asked for."""
    local = num_learners or int(os.environ.get("LOCAL_WORLD_SIZE", "1"))
    return Machine(
        num_cores=len(os.sched_getaffinity(0)),
        num_gpus=count_gpus() if num_gpus is None else num_gpus,
        num_local_learners=local,
        num_learners=num_learners or int(os.environ.get("WORLD_SIZE", "1")),
        rank=int(os.environ.get("RANK", "0")),
    )


def count_gpus(devices: Path = Path("/dev")) -> int:
    """GPUs that this process may use: `CUDA_VISIBLE_DEVICES`, else NVIDIA's device files."""
    visible = os.environ.get("CUDA_VISIBLE_DEVICES")
    if visible is not None:
        return len([name for name in visible.split(",") if name.strip() not in ("", "-1")])
    return len([path for path in devices.glob("nvidia*") if path.name[6:].isdigit()])


def chosen_placement(placement: Placement, machine: Machine) -> Placement:
    """The configured placement; `auto` follows from the devices that the learner leaves."""
    return resolved(placement, machine.num_local_learners, machine.num_gpus)
