"""A ZeRO checkpoint on another number of ranks, by DeepSpeed's universal format.

Rank 0 converts the partitions into a folder of its own -> every rank loads its share of the whole
tensors -> the folder goes. The checkpoint is only read; both folders are seen by every rank.
"""

import io
import logging
import shutil
from argparse import Namespace
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stderr, redirect_stdout
from pathlib import Path
from typing import Any

import torch.distributed as dist

from rl.errors import CheckpointError
from rl.learner.checkpoint import CHECKPOINT_TAG
from rl.learner.patches import loads_universal

SPACE = 3
"""Bytes that a conversion needs at most, over those of the checkpoint: 36 per parameter from 12.

It holds float32 weights and Adam's two moments in fragments and merged; at stage 3 it copies all
of one rank's partitions as well.
"""

logger = logging.getLogger(__name__)


def load_engine(engine: Any, folder: Path, num_saved: int, scratch: Path, strict: bool) -> None:
    """Restores what `num_saved` ranks saved of a DeepSpeed engine in `folder`; by all ranks.

    Without ZeRO every rank holds everything, so the number of ranks does not matter. `scratch` is
    where a conversion may write. Raises `CheckpointError` when it cannot.
    """
    if num_saved == engine.world_size or not engine.zero_optimization():
        engine.load_checkpoint(str(folder), tag=CHECKPOINT_TAG, load_module_strict=strict)
        return
    own = [hyperparameters(group) for group in engine.optimizer.param_groups]
    with universal(folder, num_saved, scratch), loads_universal(engine):
        engine.load_checkpoint(str(scratch), tag=CHECKPOINT_TAG)
    # At stage 3 every group has got the first one's settings, and all share one tensor of steps,
    # which lies on the CPU.
    for group, settings in zip(engine.optimizer.param_groups, own, strict=True):
        group |= settings
    for partition, state in engine.optimizer.state.items():
        state["step"] = state["step"].to(partition.device, copy=True)


@contextmanager
def universal(folder: Path, num_saved: int, scratch: Path) -> Iterator[None]:
    """Inside, `scratch` holds the universal format of the checkpoint of an engine in `folder`."""
    first, num_ranks = dist.get_rank() == 0, dist.get_world_size()
    try:
        if first:
            check_space(folder / CHECKPOINT_TAG, num_saved, num_ranks)
            logger.info("converting %s from %d ranks to %d", folder, num_saved, num_ranks)
            convert(folder / CHECKPOINT_TAG, scratch / CHECKPOINT_TAG)
        dist.barrier()
        yield
        dist.barrier()
    finally:
        if first:
            shutil.rmtree(scratch, ignore_errors=True)


def check_space(folder: Path, num_saved: int, num_ranks: int) -> None:
    """Raises `CheckpointError` when the disk has no room to convert DeepSpeed's files there."""
    most = SPACE * sum(path.stat().st_size for path in folder.iterdir())
    free = shutil.disk_usage(folder).free
    if free < most:
        raise CheckpointError(
            f"{folder} was saved by {num_saved} ranks, this run has {num_ranks}: to convert it "
            f"takes up to {most / 2**20:.0f} MiB beside it, and the disk has {free / 2**20:.0f} "
            f"MiB left; make room, or resume on {num_saved} ranks"
        )


def convert(folder: Path, universal: Path) -> None:
    """Writes DeepSpeed's files in `folder` to `universal`, in its universal format.

    They are pickles, as everywhere in DeepSpeed: convert your own only. This process does it alone:
    a fork beside the threads of torch's collectives may hang.
    """
    from deepspeed.checkpoint.ds_to_universal import main

    universal.mkdir(parents=True)
    settings = Namespace(
        input_folder=str(folder),
        output_folder=str(universal),
        num_extract_workers=1,
        num_merge_workers=1,
        strict=True,
        keep_temp_folder=False,
        # The mark of a checkpoint without tensor parallelism, which the converter insists on.
        inject_missing_state=True,
    )
    with redirect_stdout(io.StringIO()), redirect_stderr(io.StringIO()):
        main(settings)


def hyperparameters(group: dict[str, Any]) -> dict[str, Any]:
    """The settings of an optimizer's group, without its parameters."""
    return {name: value for name, value in group.items() if name != "params"}
