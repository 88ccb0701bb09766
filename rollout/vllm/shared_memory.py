"""The worker's side of weight transfer on CPUs: named tensors read from a shared memory block.

vLLM's own backends need CUDA. This one follows the same cycle (start, any number of updates,
finish): the trainer writes a chunk into a POSIX shared memory block and sends names, shapes and
offsets; nothing is pickled, and the block is reused for the next chunk.
"""

import mmap
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor, nn
from torch.utils._pytree import tree_map_only
from vllm.distributed.weight_transfer import WeightTransferEngine, WeightTransferEngineFactory
from vllm.distributed.weight_transfer.base import WeightTransferInitInfo, WeightTransferUpdateInfo
from vllm.model_executor.layers.vocab_parallel_embedding import (
    ParallelLMHead,
    VocabParallelEmbedding,
)
from vllm.model_executor.model_loader.reload import (
    finalize_layerwise_reload,
    initialize_layerwise_reload,
)
from vllm.model_executor.model_loader.reload.layerwise import get_layerwise_info

from rollout.vllm.plugin import SHARED_MEMORY_BACKEND

if TYPE_CHECKING:
    from vllm.config import VllmConfig
    from vllm.config.weight_transfer import WeightTransferConfig


SHARED_MEMORY = Path("/dev/shm")
"""Where Linux keeps POSIX shared memory, by name."""


def register_backend() -> None:
    """Makes the backend known to this process's vLLM; a second call changes nothing."""
    if SHARED_MEMORY_BACKEND not in WeightTransferEngineFactory._registry:
        WeightTransferEngineFactory.register_engine(
            SHARED_MEMORY_BACKEND, SharedMemoryWeightTransfer
        )


@dataclass
class SharedMemoryInitInfo(WeightTransferInitInfo):
    """`repack_tied_head` is off only in the test which shows that the repacking is needed."""

    repack_tied_head: bool = True


@dataclass
class SharedMemoryUpdateInfo(WeightTransferUpdateInfo):
    """One chunk: where each whole tensor lies in the block (`offsets` in bytes)."""

    block: str
    names: list[str]
    dtypes: list[str]
    shapes: list[list[int]]
    offsets: list[int]


class SharedMemoryWeightTransfer(
    WeightTransferEngine[SharedMemoryInitInfo, SharedMemoryUpdateInfo]
):
    """Loads chunks from shared memory through vLLM's layerwise reload, into policy or drafter."""

    init_info_cls = SharedMemoryInitInfo
    update_info_cls = SharedMemoryUpdateInfo

    def __init__(
        self,
        config: "WeightTransferConfig",
        vllm_config: "VllmConfig",
        device: torch.device,
        model: nn.Module,
    ) -> None:
        super().__init__(config, vllm_config, device, model)
        self._repack_tied_head = True
        self._name = ""
        self._block: mmap.mmap | None = None

    def init_transfer_engine(self, init_info: SharedMemoryInitInfo) -> None:
        self._repack_tied_head = init_info.repack_tied_head

    def start_weight_update(self) -> None:
        initialize_layerwise_reload(self.model)

    def receive_weights(self, update_info: SharedMemoryUpdateInfo) -> None:
        block = torch.frombuffer(self._attached(update_info.block), dtype=torch.uint8)
        load_weights: Any = self.model.load_weights
        load_weights(
            (name, _view(block, offset, getattr(torch, dtype), shape))
            for name, dtype, shape, offset in zip(
                update_info.names,
                update_info.dtypes,
                update_info.shapes,
                update_info.offsets,
                strict=True,
            )
        )
        keep_pending(self.model, block)

    def finish_weight_update(self) -> None:
        finalize_layerwise_reload(self.model, self.model_config)
        if self._repack_tied_head:
            repack_tied_heads(self.model)

    def shutdown(self) -> None:
        if self._block is not None:
            self._block.close()
            self._block = None

    def _attached(self, name: str) -> mmap.mmap:
        """The trainer's block of that name. `SharedMemory(name)` of Python 3.11 would have this
        process's resource tracker remove the trainer's block when a replica of its own ends."""
        if self._block is None or self._name != name:
            self.shutdown()
            with (SHARED_MEMORY / name).open("r+b") as file:
                self._name, self._block = name, mmap.mmap(file.fileno(), 0)
        return self._block


def repack_tied_heads(model: nn.Module) -> None:
    """Packs the output head again from the embedding that it is tied to.

    The CPU build multiplies with a packed copy of the head. A checkpoint of a tied model holds no
    head, so the layerwise reload leaves that copy as it was: log-probs would be silently wrong.
    """
    embeddings = {
        id(module.weight)
        for module in model.modules()
        if isinstance(module, VocabParallelEmbedding) and not isinstance(module, ParallelLMHead)
    }
    for module in model.modules():
        if isinstance(module, ParallelLMHead) and id(module.weight) in embeddings:
            module.quant_method.process_weights_after_loading(module)


def keep_pending(model: nn.Module, block: Tensor) -> None:
    """Copies what the reload still holds of `block`, which the next chunk overwrites.

    Those are tensors of layers that this chunk did not complete.
    """

    def owned(tensor: Tensor) -> Tensor:
        lies_in_block = tensor.untyped_storage().data_ptr() == block.untyped_storage().data_ptr()
        return tensor.clone() if lies_in_block else tensor

    for layer in model.modules():
        for _, call in get_layerwise_info(layer).loaded_weights:
            call.arguments = tree_map_only(Tensor, owned, call.arguments)


def _view(block: Tensor, offset: int, dtype: torch.dtype, shape: list[int]) -> Tensor:
    """The tensor of `dtype` and `shape` that begins `offset` bytes into `block` [B]."""
    num_bytes = torch.Size(shape).numel() * dtype.itemsize
    return block[offset : offset + num_bytes].view(dtype).view(shape)
