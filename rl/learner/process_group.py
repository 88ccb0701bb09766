"""The process group of the learner: torchrun's ranks, or this process alone."""

import logging
import os
import time
from dataclasses import dataclass
from datetime import timedelta

import torch
import torch.distributed as dist

from rl.learner.patches import skip_compiled_collectives

COLLECTIVE_TIMEOUT = timedelta(hours=1)
"""Longest wait inside one learner command; commands themselves are awaited without a bound."""

RELEASE_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Ranks:
    """This process among the learner's processes."""

    rank: int
    world_size: int
    local_rank: int
    device: torch.device

    @property
    def is_first(self) -> bool:
        return self.rank == 0


def start_process_group() -> Ranks:
    """Joins torchrun's processes, or forms a group of one when torchrun did not start this process.

    NCCL and one GPU per process where CUDA is available, gloo on the CPU otherwise. A group of one
    opens no port.
    """
    on_gpu = torch.cuda.is_available()
    if not on_gpu:
        os.environ["DS_ACCELERATOR"] = "cpu"
    os.environ.setdefault("LOCAL_RANK", "0")
    local_rank = int(os.environ["LOCAL_RANK"])
    device = torch.device("cuda", local_rank) if on_gpu else torch.device("cpu")
    if on_gpu:
        torch.cuda.set_device(device)
    if not dist.is_initialized():
        _init_torch("nccl" if on_gpu else "gloo")
    _init_deepspeed("nccl" if on_gpu else "gloo")
    return Ranks(
        rank=dist.get_rank(),
        world_size=dist.get_world_size(),
        local_rank=local_rank,
        device=device,
    )


def stop_process_group() -> None:
    """Leaves the group; nothing collective may follow.

    A gloo thread that still drops the tensors of the last collective aborts the process when it
    asks for the interpreter's lock during shutdown ("terminate called without an active
    exception"). The short sleep hands it the lock before that.
    """
    if dist.is_initialized():
        dist.destroy_process_group()
        time.sleep(RELEASE_SECONDS)


def _init_torch(backend: str) -> None:
    if "WORLD_SIZE" in os.environ:
        dist.init_process_group(backend, timeout=COLLECTIVE_TIMEOUT)
    else:
        store = dist.HashStore()  # type: ignore[attr-defined]
        dist.init_process_group(backend, store=store, rank=0, world_size=1)


def _init_deepspeed(backend: str) -> None:
    import deepspeed

    logging.getLogger("DeepSpeed").setLevel(logging.WARNING)
    if backend == "gloo":
        skip_compiled_collectives()
    deepspeed.init_distributed(dist_backend=backend, auto_mpi_discovery=False, verbose=False)
