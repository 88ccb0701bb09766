"""Carries the learner's weights into vLLM's workers, by vLLM's weight-transfer interface.

All three transfers drive one cycle: pause (running requests are kept), start, one update per chunk,
finish, forget cached keys and values, resume. A draft model's weights are a second start, updates
and finish within the pause. They differ in how a chunk travels: shared memory
(CPU), NCCL broadcast (the engine has GPUs of its own), CUDA IPC (engine and learner share GPUs).
"""

import shutil
from collections.abc import Iterator
from multiprocessing.shared_memory import SharedMemory
from pathlib import Path
from typing import Any, Protocol

import torch
from torch import Tensor

from rollout.config import Placement
from rollout.engine import EngineError
from rollout.transfer import HeldTransfer, NamedTensors
from rollout.vllm.engine import VllmEngine

ALIGNMENT = 64
"""Tensors start at multiples of this many bytes in a block."""

MIB = 2**20


def start_transfer(engine: VllmEngine, bucket_mib: int) -> HeldTransfer:
    """The transfer that suits the engine's placement; close it before the engine."""
    cycle = EngineCycle(engine)
    if engine.placement is Placement.cpu:
        return SharedMemoryTransfer(cycle, bucket_mib)
    from rollout.vllm.transfer_cuda import IpcTransfer, NcclTransfer

    if engine.placement is Placement.separate:
        return NcclTransfer(cycle, bucket_mib, num_workers=len(engine.devices))
    return IpcTransfer(cycle, bucket_mib, engine.devices)


class Cycle(Protocol):
    """The engine's side of one transfer cycle, called from the learner's thread; every call blocks.

    A failed call leaves generation paused: the weights are neither the old nor the new ones.
    """

    def init(self, info: dict[str, Any]) -> None:
        """The handshake with the workers' transfer backend, once."""
        ...

    def start(self) -> bool:
        """See `Transfer.start`."""
        ...

    def update(self, info: dict[str, Any]) -> None: ...

    def turn_to_drafter(self) -> None:
        """See `Transfer.turn_to_drafter`."""
        ...

    def finish(self, version: int) -> None: ...


class EngineCycle:
    """The `Cycle` of an engine in this process tree."""

    def __init__(self, engine: VllmEngine) -> None:
        self._engine = engine
        self._run = engine.loop.run
        self._installed = False

    def init(self, info: dict[str, Any]) -> None:
        self._run(self._engine.call("init_weight_transfer_engine", init_info=info))

    def start(self) -> bool:
        installed, self._installed = self._installed, False
        self._run(self._start())
        return installed

    def update(self, info: dict[str, Any]) -> None:
        self._run(self._engine.call("update_weights", update_info=info))

    def turn_to_drafter(self) -> None:
        self._run(self._engine.call("finish_weight_update"))
        self._run(self._engine.call("start_draft_weight_update"))

    def finish(self, version: int) -> None:
        self._run(self._finish(version))
        self._installed = True

    async def _start(self) -> None:
        with self._engine.exchange():
            await self._engine.llm.pause_generation(mode="keep", clear_cache=False)
        await self._engine.call("start_weight_update")

    async def _finish(self, version: int) -> None:
        await self._engine.call("finish_weight_update")
        await self._engine.call("laconic_new_weights", version=version)
        llm = self._engine.llm
        with self._engine.exchange():
            await llm.update_weight_version(str(version))
            # Requests in flight are computed again: their next tokens then follow from the new
            # weights alone, as in the learner's forward pass.
            if not self._engine.keeps_cache and not await llm.reset_prefix_cache(
                reset_running_requests=True
            ):
                raise EngineError("vLLM kept key-value blocks of the old weights")
            self._engine.installed(version)
            await llm.resume_generation()


class SharedMemoryTransfer:
    """Writes chunks of at most `bucket_mib` into one block that is reused.

    A larger tensor travels alone and the block grows to it. `repack_tied_head` is off only in the
    test which shows that tied embeddings need it.
    """

    def __init__(self, cycle: Cycle, bucket_mib: int, *, repack_tied_head: bool = True) -> None:
        self._cycle = cycle
        self._bucket_bytes = bucket_mib * MIB
        self._block: SharedMemory | None = None
        self._cycle.init({"repack_tied_head": repack_tied_head})

    @property
    def block_bytes(self) -> int:
        """Shared memory held: that of the largest chunk so far, never a whole model."""
        return self._block.size if self._block is not None else 0

    def start(self) -> bool:
        return self._cycle.start()

    def send(self, bucket: NamedTensors) -> None:
        for chunk in chunks(bucket, self._bucket_bytes):
            offsets, num_bytes = layout([tensor for _, tensor in chunk])
            block = self._block_of(num_bytes)
            for (_, tensor), offset in zip(chunk, offsets, strict=True):
                _write(block, offset, tensor)
            self._cycle.update(
                {
                    "block": block.name,
                    "names": [name for name, _ in chunk],
                    "dtypes": [dtype_name(tensor) for _, tensor in chunk],
                    "shapes": [list(tensor.shape) for _, tensor in chunk],
                    "offsets": offsets,
                }
            )

    def turn_to_drafter(self) -> None:
        self._cycle.turn_to_drafter()

    def finish(self, version: int) -> None:
        self._cycle.finish(version)

    def close(self) -> None:
        """Gives the block back; a later `send` takes a new one."""
        if self._block is not None:
            self._block.close()
            self._block.unlink()
            self._block = None

    def _block_of(self, num_bytes: int) -> SharedMemory:
        if self._block is None or self._block.size < num_bytes:
            self.close()
            _check_shared_memory(num_bytes)
            self._block = SharedMemory(create=True, size=num_bytes)
        return self._block


def chunks(bucket: NamedTensors, max_bytes: int) -> Iterator[list[tuple[str, Tensor]]]:
    """`bucket` in order, in parts of at most `max_bytes`; a larger tensor is a part of its own."""
    part: list[tuple[str, Tensor]] = []
    for name, tensor in bucket:
        if part and layout([*(held for _, held in part), tensor])[1] > max_bytes:
            yield part
            part = []
        part.append((name, tensor))
    if part:
        yield part


def layout(tensors: list[Tensor]) -> tuple[list[int], int]:
    """Aligned byte offsets of `tensors` laid one after another, and the bytes they take."""
    offsets, end = [], 0
    for tensor in tensors:
        offsets.append(end)
        end += -(-tensor.nbytes // ALIGNMENT) * ALIGNMENT
    return offsets, end


def _write(block: SharedMemory, offset: int, tensor: Tensor) -> None:
    target = torch.frombuffer(block.buf, dtype=tensor.dtype, count=tensor.numel(), offset=offset)
    target.view(tensor.shape).copy_(tensor.detach())


def dtype_name(tensor: Tensor) -> str:
    """`float32`, `bfloat16`: how vLLM names a dtype."""
    return str(tensor.dtype).removeprefix("torch.")


def _check_shared_memory(num_bytes: int) -> None:
    """Writing into a full /dev/shm would kill the process without a message."""
    folder = Path("/dev/shm")
    if folder.is_dir() and (free := shutil.disk_usage(folder).free) < num_bytes:
        raise EngineError(
            f"a weight bucket of {num_bytes // MIB} MiB does not fit into the {free // MIB} MiB of "
            "free shared memory; set rollout.sync_bucket_mib lower or raise the limit "
            "(docker run --shm-size)"
        )
