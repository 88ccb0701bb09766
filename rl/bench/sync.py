"""`laconic bench sync`: seconds of a publication over those of the engine's own reload.

One vLLM serves the lab's architecture made wider and deeper (160M parameters, random). Ours sends
the learner's tensors in buckets, from pausing the engine to resuming it. `reload` has the worker
read the same tensors from a checkpoint that lies in memory; `memcpy` copies them in this process.
"""

import logging
import os
import shutil
import tempfile
from contextlib import ExitStack, closing
from dataclasses import dataclass, field
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from rl.bench.bench import Result, alternate, paired_ratio
from rl.bench.step import LAB_MODEL
from rollout.background import BackgroundLoop
from rollout.config import VllmConfig

if TYPE_CHECKING:
    from transformers import PreTrainedModel

    from rollout.transfer import HeldTransfer
    from rollout.vllm.engine import VllmEngine

MEMORY = Path("/dev/shm")
SHAPE = {"hidden_size": 768, "intermediate_size": 3072, "num_attention_heads": 12}
SHAPE |= {"num_key_value_heads": 12}
NUM_LAYERS = 17
"""With `SHAPE` and the lab's vocabulary 161 million parameters."""

MIB = 2**20
TOLERANCE = 1e-4
"""Largest relative difference of a fingerprint between engine and learner, in float32."""

logger = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True, kw_only=True)
class Bench:
    """A running engine on the checkpoint in `folder`, and the learner's side: the same `model`."""

    loop: BackgroundLoop
    engine: "VllmEngine"
    transfer: "HeldTransfer"
    model: "PreTrainedModel"
    folder: Path
    bucket_bytes: int
    copies: list[Any] = field(default_factory=list)

    def ours(self, number: int) -> float:
        """Seconds of one publication, as `learner.publish` makes it, of every tensor."""
        from rl.learner.weights import checkpoint_weights, whole_weights

        began = perf_counter()
        self.transfer.start()
        for bucket in whole_weights(checkpoint_weights(self.model), self.bucket_bytes, False):
            self.transfer.send(bucket)
        self.transfer.finish(self.engine.weight_version + 1)
        return perf_counter() - began

    def reload(self, number: int) -> float:
        """Seconds of vLLM's `reload_weights` in its worker."""
        began = perf_counter()
        self.loop.run(self.engine.call("reload_weights", weights_path=str(self.folder)))
        return perf_counter() - began

    def memcpy(self, number: int) -> float:
        """Seconds of copying the tensors into memory that is held and was touched before."""
        import torch

        tensors = [parameter.detach() for parameter in self.model.parameters()]
        if not self.copies:
            self.copies.extend(map(torch.zeros_like, tensors))
        began = perf_counter()
        for copy, tensor in zip(self.copies, tensors, strict=True):
            copy.copy_(tensor)
        return perf_counter() - began

    def stale(self) -> list[str]:
        """Names of the parameters in which the engine is not the learner."""
        from rollout.fingerprint import fingerprint, stale_parameters

        wanted = {name: fingerprint(name, p) for name, p in self.model.named_parameters()}
        return stale_parameters(self.engine.fingerprints(), wanted, TOLERANCE)


def run(against: str, rounds: int = 10, num_layers: int = NUM_LAYERS) -> Result:
    """Our seconds over those of `against` (reload, memcpy) for the same tensors.

    Raises RuntimeError when the engine did not take over what was sent.
    """
    with ExitStack() as stack:
        place = MEMORY if MEMORY.is_dir() else None
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory("-laconic", dir=place)))
        model = save_model(folder, num_layers)
        bench = start(stack, model, folder)
        randomize(model)
        theirs = {"reload": bench.reload, "memcpy": bench.memcpy}[against]
        ours, others = alternate(bench.ours, theirs, rounds)
        bench.ours(rounds)
        if stale := bench.stale():
            raise RuntimeError(f"the engine did not take over {', '.join(stale)}")
    measured = paired_ratio(ours, others)
    logger.info("sync: %.2f times %s", measured.ratio, against)
    num_bytes = sum(parameter.nbytes for parameter in model.parameters())
    return Result(
        name="sync",
        against=against,
        **measured._asdict(),
        setting={
            "parameters": sum(parameter.numel() for parameter in model.parameters()),
            "megabytes": round(num_bytes / 1e6, 1),
            "tensors": len(list(model.parameters())),
            "bucket_megabytes": round(bench.bucket_bytes / 1e6, 1),
            "cores": os.cpu_count(),
            "rounds": rounds,
        },
        extra={
            "ours_seconds": [round(seconds, 3) for seconds in ours],
            f"{against}_seconds": [round(seconds, 3) for seconds in others],
            "ours_megabytes_per_second": round(num_bytes / 1e6 / min(ours)),
        },
    )


def start(stack: ExitStack, model: "PreTrainedModel", folder: Path) -> Bench:
    """The engine and all around it, ended with `stack`."""
    from rollout.vllm.start import start_engine

    config = VllmConfig(max_num_seqs=4, kv_cache_gib=0.1)
    loop = stack.enter_context(closing(BackgroundLoop()))
    engine = start_engine(
        config, loop=loop, model_path=str(folder), dtype="float32", max_model_tokens=64
    )
    stack.callback(engine.shutdown)
    transfer = stack.enter_context(closing(engine.start_transfer(config.sync_bucket_mib)))
    return Bench(
        loop=loop,
        engine=engine,
        transfer=transfer,
        model=model,
        folder=folder,
        bucket_bytes=config.sync_bucket_mib * MIB,
    )


def save_model(folder: Path, num_layers: int) -> "PreTrainedModel":
    """A random `wide_model`, saved in `folder` with the lab's tokenizer."""
    model = wide_model(num_layers)
    model.save_pretrained(folder)
    for name in ("tokenizer.json", "tokenizer_config.json"):
        shutil.copy(LAB_MODEL / name, folder)
    return model


def wide_model(num_layers: int) -> "PreTrainedModel":
    """A random model of the lab's architecture in `SHAPE`."""
    from transformers import AutoConfig, AutoModelForCausalLM

    config = AutoConfig.from_pretrained(LAB_MODEL)
    config.update(SHAPE | {"num_hidden_layers": num_layers})
    config.layer_types = ["full_attention"] * num_layers
    model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    return model


def randomize(model: "PreTrainedModel") -> None:
    """Other values than those that the engine was started with."""
    import torch

    generator = torch.Generator().manual_seed(1)
    for parameter in model.parameters():
        torch.nn.init.normal_(parameter, std=0.02, generator=generator)
