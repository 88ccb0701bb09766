"""Weight transfer on GPUs, by vLLM's own backends: NCCL broadcast and CUDA IPC.

Neither is one of vLLM's "send the whole model" calls: a cycle of ours spans many buckets, so the
bucket is the source of one `send_weights` under NCCL, and one update with memory handles under IPC.
"""

import base64
import pickle
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.multiprocessing.reductions import reduce_tensor

from rollout.transfer import NamedTensors
from rollout.vllm.transfer import MIB, Cycle, chunks, dtype_name


class NcclTransfer:
    """Broadcasts buckets from this process's GPU to engines that have GPUs of their own.

    The learner's current CUDA device is rank 0 of the group, the engine's workers follow; they
    find it at `address`, which is this machine's.
    """

    def __init__(
        self, cycle: Cycle, bucket_mib: int, *, num_workers: int, address: str = "127.0.0.1"
    ) -> None:
        from vllm.distributed.weight_transfer import WeightTransferTrainerFactory
        from vllm.distributed.weight_transfer.nccl_engine import NCCLTrainerInitInfo
        from vllm.utils.network_utils import get_open_port

        self._cycle = cycle
        self._source = BucketSource()
        info = NCCLTrainerInitInfo(
            rank=0,
            master_address=address,
            master_port=get_open_port(),
            world_size=1 + num_workers,
            packed=True,
            packed_buffer_size_bytes=bucket_mib * MIB,
        )
        self._trainer = WeightTransferTrainerFactory.trainer_init(
            info, client=_BucketClient(self._cycle), source=self._source
        )

    def start(self) -> bool:
        return self._cycle.start()

    def send(self, bucket: NamedTensors) -> None:
        self._source.bucket = bucket
        self._trainer.send_weights()
        self._source.bucket = ()

    def turn_to_drafter(self) -> None:
        self._cycle.turn_to_drafter()

    def finish(self, version: int) -> None:
        self._cycle.finish(version)

    def close(self) -> None:
        self._trainer.shutdown()


class BucketSource:
    """vLLM's `WeightSource` over the bucket at hand."""

    def __init__(self) -> None:
        self.bucket: NamedTensors = ()

    def metadata(self) -> list[Any]:
        """Name, dtype and shape of every tensor, as vLLM's `ParamMeta`."""
        from vllm.distributed.weight_transfer import ParamMeta

        return [ParamMeta(name, tensor.dtype, tuple(tensor.shape)) for name, tensor in self.bucket]

    def __iter__(self) -> Iterator[tuple[str, Tensor]]:
        return ((name, tensor.detach()) for name, tensor in self.bucket)


class _BucketClient:
    """vLLM's `VLLMWeightSyncClient` for one bucket: the cycle around the buckets is ours."""

    def __init__(self, cycle: Cycle) -> None:
        self._cycle = cycle

    def init_weight_transfer_engine(self, init_info: dict[str, Any]) -> None:
        self._cycle.init(init_info)

    def start_weight_update(self) -> None:
        pass

    def update_weights(self, update_info: dict[str, Any]) -> None:
        self._cycle.update(update_info)

    def finish_weight_update(self, weight_version: str | None = None) -> None:
        pass


class IpcTransfer:
    """Lends each worker a buffer on its own GPU, which it shares with the learner.

    NCCL refuses two ranks on one device. Rank 0 copies a chunk to every device of the engine and
    sends the buffers' handles; a worker takes the one of its GPU.
    """

    def __init__(self, cycle: Cycle, bucket_mib: int, devices: Sequence[int]) -> None:
        self._cycle = cycle
        self._bucket_bytes = bucket_mib * MIB
        self._devices = [torch.device("cuda", index) for index in devices]
        self._buffers: list[Tensor] = []
        self._handles = ""
        self._cycle.init({"packed": True})

    def start(self) -> bool:
        return self._cycle.start()

    def send(self, bucket: NamedTensors) -> None:
        for chunk in chunks(bucket, self._bucket_bytes):
            tensors = [tensor for _, tensor in chunk]
            self._make_room(sum(tensor.nbytes for tensor in tensors))
            for buffer in self._buffers:
                _pack(buffer, tensors)
            self._cycle.update(
                {
                    "names": [name for name, _ in chunk],
                    "dtype_names": [dtype_name(tensor) for tensor in tensors],
                    "shapes": [list(tensor.shape) for tensor in tensors],
                    "tensor_sizes": [tensor.nbytes for tensor in tensors],
                    "ipc_handles_pickled": self._handles,
                }
            )

    def turn_to_drafter(self) -> None:
        self._cycle.turn_to_drafter()
        self.close()

    def finish(self, version: int) -> None:
        self._cycle.finish(version)
        self.close()

    def close(self) -> None:
        """Gives the buffers back: workers release them as they finish a model, one export each."""
        self._buffers, self._handles = [], ""
        torch.cuda.ipc_collect()

    def _make_room(self, num_bytes: int) -> None:
        if self._buffers and self._buffers[0].nbytes >= num_bytes:
            return
        size = max(num_bytes, self._bucket_bytes)
        self._buffers = [torch.empty(size, dtype=torch.uint8, device=d) for d in self._devices]
        handles = {_uuid(buffer): reduce_tensor(buffer)[1] for buffer in self._buffers}
        self._handles = base64.b64encode(pickle.dumps(handles)).decode("ascii")


def _pack(buffer: Tensor, tensors: Sequence[Tensor]) -> None:
    """Lays the bytes of `tensors` one after another, without gaps, and waits for the copies."""
    offset = 0
    for tensor in tensors:
        values = tensor.detach().contiguous().view(-1).view(torch.uint8)
        buffer[offset : offset + len(values)].copy_(values)
        offset += len(values)
    torch.cuda.synchronize(buffer.device)


def _uuid(buffer: Tensor) -> str:
    return str(torch.cuda.get_device_properties(buffer.device).uuid)
