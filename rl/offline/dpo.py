"""Direct preference optimization by TRL's `DPOTrainer`, on the token ids that were sampled.

TRL (1.16) is imported here and by the benchmark alone.
"""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import peft
import pyarrow as pa
import torch
from datasets import Dataset
from transformers import AutoConfig, AutoTokenizer, PrinterCallback, TrainerCallback
from trl import DPOConfig, DPOTrainer

from data.config import ModelConfig
from rl.learner.model import load_model
from rl.learner.weights import checkpoint_weights, write_configs, write_safetensors
from rl.offline.pair_files import IDS

logger = logging.getLogger(__name__)

BUCKET_BYTES = 2**30
NUM_LOGGED = 10
"""Lines that a training prints, about."""


@dataclass(frozen=True, slots=True, kw_only=True)
class DpoSettings:
    """AdaR1's beta, learning rate, epochs and longest sequence; the other numbers are ours."""

    beta: float = 0.1
    learning_rate: float = 5e-7
    epochs: float = 3.0
    max_tokens: int = 4096
    """Prompt and completion; what is beyond is cut off."""
    batch_size: int = 32
    micro_batch: int = 8
    """Pairs in one forward pass."""
    lora_rank: int = 0
    """0 trains all weights."""
    seed: int = 0

    def problems(self) -> list[str]:
        """Every setting that cannot be."""
        at_least = {"batch_size": 1, "micro_batch": 1, "max_tokens": 1, "lora_rank": 0, "seed": 0}
        found = [
            f"--{name.replace('_', '-')} {getattr(self, name)}: give {least} or more"
            for name, least in at_least.items()
            if getattr(self, name) < least
        ]
        for name in ("beta", "learning_rate", "epochs"):
            if not getattr(self, name) > 0:
                given = f"--{name.replace('_', '-')} {getattr(self, name):g}"
                found.append(f"{given}: give a number above 0")
        if not found and self.batch_size % self.micro_batch:
            found.append(
                f"--batch-size {self.batch_size}: give a multiple of --micro-batch "
                f"{self.micro_batch}"
            )
        return found


class SampledPairs(DPOTrainer):
    """Takes token ids as they were sampled.

    Made from text again they may be other tokens; a chat template may drop the thinking of a past
    turn; and TRL would end a completion that its limit cut off.
    """

    def _prepare_dataset(self, dataset: Dataset, *rest: Any, **options: Any) -> Dataset:
        return dataset


class Progress(TrainerCallback):
    """A line per logged step."""

    def on_log(self, args: Any, state: Any, control: Any, logs: Any = None, **rest: Any) -> None:
        if "loss" in logs:
            logger.info(
                "step %d/%d  loss %.4f  chosen preferred %.3f  margin %.4f",
                state.global_step,
                state.max_steps,
                float(logs["loss"]),
                float(logs["rewards/accuracies"]),
                float(logs["rewards/margins"]),
            )


def check_tokens(table: pa.Table, model: str, revision: str = "main") -> None:
    """Raises ValueError when the pairs were sampled with another tokenizer than the model's."""
    tokenizer = AutoTokenizer.from_pretrained(model, revision=revision)
    for text, ids in zip(table["prompt"].to_pylist(), table["prompt_ids"].to_pylist(), strict=True):
        if max(ids) >= len(tokenizer) or tokenizer.decode(ids) != text:
            raise ValueError(
                f"the pairs were sampled with another tokenizer than that of {model}: it reads the "
                f"prompt {text[:60]!r} differently; make the pairs with models of its family"
            )


def num_cut(table: pa.Table, max_tokens: int) -> int:
    """Pairs of which a completion reaches beyond `max_tokens`, its prompt counted."""
    lengths = {name: [len(ids) for ids in table[name].to_pylist()] for name in IDS}
    return sum(
        prompt + max(chosen, rejected) > max_tokens
        for prompt, chosen, rejected in zip(*(lengths[name] for name in IDS), strict=True)
    )


def train(
    model: str, revision: str, table: pa.Table, settings: DpoSettings, target: Path
) -> list[Mapping[str, float]]:
    """Trains and writes a Hugging Face folder to `target`; returns what TRL logged.

    Under LoRA the folder holds the model with the adapter merged in, and `adapter/` the adapter in
    peft's format.
    """
    own_dtype = AutoConfig.from_pretrained(model, revision=revision).dtype or torch.float32
    config = ModelConfig(path=model, revision=revision, dtype="float32")
    cpu = torch.device("cpu")
    lora = lora_config(settings.lora_rank) if settings.lora_rank else None
    with TemporaryDirectory(prefix="laconic-dpo-") as scratch:
        trainer = SampledPairs(
            model=load_model(model, config, None, cpu),
            ref_model=None if lora else load_model(model, config, None, cpu),
            args=arguments(settings, table.num_rows, scratch),
            train_dataset=Dataset(table.select(list(IDS))),
            processing_class=AutoTokenizer.from_pretrained(model, revision=revision),
            peft_config=lora,
            callbacks=[Progress()],
        )
        trainer.remove_callback(PrinterCallback)
        trainer.train()
    trained = trainer.accelerator.unwrap_model(trainer.model).cpu()
    target.mkdir(parents=True, exist_ok=True)
    if lora:
        trained.save_pretrained(target / "adapter")
        trained = trained.get_base_model()
    trained.to(own_dtype)
    trained.config.dtype = own_dtype
    write_configs(target, trained, model, revision)
    found = checkpoint_weights(trained)
    write_safetensors(target, found, BUCKET_BYTES, partitioned=False, writes=True)
    return list(trainer.state.log_history)


def lora_config(rank: int) -> peft.LoraConfig:
    """Adapters of alpha 2 r on every linear layer but the head."""
    return peft.LoraConfig(
        r=rank,
        lora_alpha=2 * rank,
        lora_dropout=0.0,
        target_modules="all-linear",
        task_type="CAUSAL_LM",
    )


def arguments(settings: DpoSettings, num_pairs: int, scratch: str) -> DPOConfig:
    """TRL's options; float32 on the CPU, bfloat16 autocast over float32 weights on a GPU."""
    gpu = torch.cuda.is_available()
    steps = int(settings.epochs * num_pairs / settings.batch_size)
    return DPOConfig(
        output_dir=scratch,
        beta=settings.beta,
        learning_rate=settings.learning_rate,
        num_train_epochs=settings.epochs,
        max_length=settings.max_tokens,
        per_device_train_batch_size=settings.micro_batch,
        gradient_accumulation_steps=settings.batch_size // settings.micro_batch,
        seed=settings.seed,
        use_cpu=not gpu,
        bf16=gpu,
        gradient_checkpointing=gpu,
        logging_steps=max(1, steps // NUM_LOGGED),
        save_strategy="no",
        report_to=[],
        disable_tqdm=True,
        dataloader_pin_memory=gpu,
    )
