"""Whole weights by checkpoint name, bucket by bucket: what is published, fingerprinted, exported.

Under ZeRO-3 a bucket is gathered when it is reached and released when the next one is asked for,
so that no rank ever holds the whole model. All ranks must go through all buckets.
"""

import json
import math
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch import Tensor, nn

from rl.learner.model import whole_shape

if TYPE_CHECKING:
    from transformers import PreTrainedModel

SHARD_BYTES = 4 * 2**30

LOADED_HERE = ("is_local", "local_files_only")
"""How this machine loaded a tokenizer; transformers would save it as the tokenizer's own."""


class Weight(NamedTuple):
    """A parameter by checkpoint name; `adapted` is the LoRA layer that changes it, if any."""

    name: str
    parameter: nn.Parameter
    adapted: Any

    @property
    def num_bytes(self) -> int:
        return math.prod(whole_shape(self.parameter)) * self.parameter.element_size()

    @property
    def trains(self) -> bool:
        """Whether an optimizer step may change the tensor that is published."""
        return self.adapted is not None or self.parameter.requires_grad


def checkpoint_weights(model: "PreTrainedModel") -> list[Weight]:
    """The weights of a transformers model, tied ones once, adapters folded into their base."""
    from peft.tuners.lora import LoraLayer

    layers = {name: m for name, m in model.named_modules() if isinstance(m, LoraLayer)}
    found = []
    for name, parameter in model.named_parameters():
        if ".lora_" in name:
            continue
        owner, _, kind = name.partition(".base_layer.")
        adapted = layers[owner] if kind == "weight" else None
        found.append(Weight(name.replace(".base_layer.", "."), parameter, adapted))
    return found


@torch.no_grad()
def whole_weights(
    weights: list[Weight], bucket_bytes: int, partitioned: bool
) -> Iterator[list[tuple[str, Tensor]]]:
    """Buckets of whole tensors, valid until the next bucket is asked for.

    A tensor larger than `bucket_bytes` is a bucket of its own. Collective when `partitioned`
    (ZeRO-3).
    """
    for bucket in buckets(weights, bucket_bytes):
        with gathered([weight.parameter for weight in bucket], partitioned):
            yield [(weight.name, merged(weight)) for weight in bucket]


def buckets(weights: list[Weight], bucket_bytes: int) -> Iterator[list[Weight]]:
    bucket: list[Weight] = []
    used = 0
    for weight in weights:
        if bucket and used + weight.num_bytes > bucket_bytes:
            yield bucket
            bucket, used = [], 0
        bucket.append(weight)
        used += weight.num_bytes
    if bucket:
        yield bucket


def gathered(parameters: list[nn.Parameter], partitioned: bool) -> AbstractContextManager[None]:
    """Inside, `parameters` are whole on every rank; changes are not kept."""
    if not partitioned:
        return nullcontext()
    import deepspeed

    context: AbstractContextManager[None] = deepspeed.zero.GatheredParameters(parameters)
    return context


def merged(weight: Weight) -> Tensor:
    """The tensor as an engine without adapters needs it: base plus the adapter's product."""
    if weight.adapted is None:
        return weight.parameter.detach()
    deltas = [weight.adapted.get_delta_weight(name) for name in weight.adapted.active_adapters]
    whole: Tensor = sum(deltas, start=weight.parameter.detach())
    return whole


def write_safetensors(
    folder: Path, weights: list[Weight], bucket_bytes: int, partitioned: bool, writes: bool
) -> None:
    """Whole weights as safetensors shards in `folder`, written by the rank that `writes`.

    Collective when `partitioned`. Host memory of the writing rank holds one shard.
    """
    from safetensors.torch import save_file

    shards = list(buckets(weights, SHARD_BYTES))
    index: dict[str, str] = {}
    for number, shard in enumerate(shards, start=1):
        tensors: dict[str, Tensor] = {}
        for bucket in whole_weights(shard, bucket_bytes, partitioned):
            if writes:
                tensors |= {name: tensor.cpu().clone().contiguous() for name, tensor in bucket}
        file = shard_name(number, len(shards))
        index |= dict.fromkeys((weight.name for weight in shard), file)
        if writes:
            save_file(tensors, folder / file, metadata={"format": "pt"})
    if writes and len(shards) > 1:
        total = sum(weight.num_bytes for weight in weights)
        text = json.dumps({"metadata": {"total_size": total}, "weight_map": index}, indent=2)
        (folder / "model.safetensors.index.json").write_text(text)


def write_configs(folder: Path, model: "PreTrainedModel", model_path: str, revision: str) -> None:
    """The files of an export beside its weights: configs, and the initial model's tokenizer."""
    from transformers import AutoTokenizer

    model.config.save_pretrained(folder)
    model.generation_config.save_pretrained(folder)
    tokenizer = AutoTokenizer.from_pretrained(model_path, revision=revision)
    for name in LOADED_HERE:
        tokenizer.init_kwargs.pop(name, None)
    tokenizer.save_pretrained(folder)


def shard_name(number: int, total: int) -> str:
    return "model.safetensors" if total == 1 else f"model-{number:05d}-of-{total:05d}.safetensors"
